//! The commands of the cities, with the sample and with a file that is wrong in most rows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

use modeller_tests::Folder;
use modeller_tests::http::Connection;
use modeller_tests::process::Served;

const CITIES: &str = env!("CARGO_BIN_EXE_cities");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sample.json");

const BAD_ROWS: &str = r#"[
{"name":"Zürich","lat":"47.36667","lng":"8.55","country":"CH","admin1":"ZH","admin2":"112"},
{"name":"","lat":"1","lng":"1","country":"CH","admin1":"","admin2":""},
{"name":"North of the pole","lat":"90.1","lng":"1","country":"ch","admin1":"","admin2":""},
{"name":"Nowhere","lat":"NaN","lng":"1","country":"CH","admin1":"","admin2":""},
{"name":"No country","lat":"1","lng":"1"},
{"name":"Too much","lat":"1","lng":"1","country":"CH","population":3},
"not a row",
{"name":"L'Aquila","lat":42.35,"lng":13.4,"country":"IT"}
]"#;

const REASONS: &str = "\
row 2: name must NOT have fewer than 1 characters
row 3: country must match pattern \"^[A-Z]{2}$\"; lat must be <= 90
row 4: lat is no number: \"NaN\"
row 5: missing field `country`
row 6: unknown field `population`, expected one of `name`, `country`, `lat`, `lng`, `admin1`, `admin2`
row 7: invalid type: string \"not a row\", expected struct Row
2 of 8 rows stored";

fn import(file: &Path, target: &[&str]) -> (Output, String) {
    let output = Command::new(CITIES).arg("import").arg(file).args(target).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

fn data(folder: &Folder) -> [&str; 2] {
    ["--data", folder.path().to_str().unwrap()]
}

/// The names and the count of a list.
async fn names(served: &Served, query: &str) -> Vec<String> {
    let mut connection = Connection::open(served.addr).await.unwrap();
    let answer = connection.json("GET", &format!("/cities?{query}"), None).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|city| city["name"].as_str().unwrap().to_owned()).collect()
}

/// The first five of Switzerland by name.
const SWISS: &str = "filter=%7B%22country%22%3A%22CH%22%7D&sort=%7B%22name%22%3A1%7D&limit=5";

#[tokio::test]
async fn the_sample_goes_in_both_ways_and_answers() {
    let mut answers = Vec::new();
    for over_http in [false, true] {
        let folder = Folder::new();
        let mut served = None;
        let (output, text) = if over_http {
            let served = served.insert(Served::start(CITIES, folder.path()));
            import(SAMPLE.as_ref(), &["--url", &format!("http://{}", served.addr)])
        } else {
            import(SAMPLE.as_ref(), &data(&folder))
        };
        assert!(output.status.success() && text.starts_with("200 of 200 rows stored"), "{text}");
        let served = served.unwrap_or_else(|| Served::start(CITIES, folder.path()));
        assert_eq!(names(&served, "limit=1000").await.len(), 200);
        answers.push(names(&served, SWISS).await);
    }
    assert_eq!(answers[0], ["Altendorf", "Chur", "Grindelwald", "Lyssach", "Quarten"]);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn bad_rows_are_named_and_cost_nobody_but_themselves() {
    for over_http in [false, true] {
        let folder = Folder::new();
        let file = folder.path().join("bad.json");
        std::fs::write(&file, BAD_ROWS).unwrap();
        let mut served = None;
        let (output, text) = if over_http {
            let served = served.insert(Served::start(CITIES, folder.path()));
            import(&file, &["--url", &format!("http://{}", served.addr)])
        } else {
            import(&file, &data(&folder))
        };
        assert!(text.starts_with(REASONS), "{text}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: ROWS_REFUSED: 6 of 8 rows were refused\n");
        let served = served.unwrap_or_else(|| Served::start(CITIES, folder.path()));
        assert_eq!(names(&served, "sort=%7B%22name%22%3A1%7D").await, ["L'Aquila", "Zürich"]);
    }
}

#[test]
fn what_cannot_be_imported_is_one_line() {
    let folder = Folder::new();
    let file = folder.path().join("object.json");
    std::fs::write(&file, r#"{"name":"Zürich"}"#).unwrap();
    for (args, reason) in [
        (vec!["nowhere.json"], "INVALID_FILE: cannot read `nowhere.json`"),
        (vec![file.to_str().unwrap()], "INVALID_FILE: this is not a JSON array of rows"),
        (vec![SAMPLE, "--url", "http://127.0.0.1:1"], "UNAVAILABLE: no answer from http://127.0.0.1:1"),
        (vec![SAMPLE, "--url", "127.0.0.1"], "INVALID_ADDRESS"),
        (vec![SAMPLE, "--fast"], "USAGE: `--fast` is not known here"),
        (vec![], "USAGE: there is no file"),
    ] {
        let output = Command::new(CITIES).arg("import").args(&args).current_dir(folder.path()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with(&format!("error: {reason}")) && text.lines().count() == 1, "{args:?}: {text}");
        assert_eq!(output.status.code(), Some(1));
    }
}
