//! What the compiler of TypeScript takes, and what it refuses.

use std::path::Path;

use modeller_tests::Folder;
use modeller_tests::typescript::{client_of, folder, is_golden, parts, tsc};

const DESCRIBED: &str = env!("CARGO_BIN_EXE_described");

fn write(folder: &Folder, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

#[test]
fn the_client_of_what_is_described() {
    is_golden("described", DESCRIBED);
}

#[test]
#[cfg_attr(
    not(has_typescript),
    ignore = "needs node and the npm package typescript in $MODELLER_NPM; .ci/run installs it"
)]
fn clients_are_strict() {
    let out = Folder::new();
    let runtime = parts(&client_of(DESCRIBED)).1.to_owned();
    let mut files = Vec::new();
    for program in [DESCRIBED, env!("CARGO_BIN_EXE_served"), env!("CARGO_BIN_EXE_uploads"), env!("CARGO_BIN_EXE_noted")]
    {
        let name = format!("{}.ts", Path::new(program).file_stem().unwrap().to_string_lossy());
        write(&out, &name, &client_of(program));
        files.push(name);
    }
    // Those of the examples, which their own tests compare.
    for entry in std::fs::read_dir(folder().join("golden")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("golden-{}", path.file_name().unwrap().to_string_lossy());
        write(&out, &name, &(std::fs::read_to_string(&path).unwrap() + &runtime));
        files.push(name);
    }
    assert!(files.len() > 5, "{files:?}");
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let (is_fine, said) = tsc(out.path(), &[&["--noEmit"], names.as_slice()].concat());
    assert!(is_fine, "{said}");
}
