//! The invalid document refused by ajv in Node.

use std::path::{Path, PathBuf};
use std::process::Command;

use modeller::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use workload::document::INVALID;

/// From text to the text of the errors, as a server in Node does it. The first tenth warms the compiler up.
const PROGRAM: &str = r#"
const { schema, text, times } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ajv = new (require("ajv/dist/2020"))({ allErrors: true, strict: false });
require("ajv-formats")(ajv);
const validate = ajv.compile(schema);
let out = "";
const run = (times) => {
  for (let i = 0; i < times; i++) {
    if (validate(JSON.parse(text))) throw new Error("it was taken");
    out = JSON.stringify(validate.errors);
  }
};
run(Math.max(1, Math.floor(times / 10)));
const clock = () => Number(require("fs").readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]);
const begun = clock();
run(times);
const took = clock() - begun;
console.log(JSON.stringify({ figure: took / times, violations: JSON.parse(out) }));
"#;

#[derive(Deserialize)]
struct Told {
    figure: f64,
    violations: Value,
}

/// Nanoseconds of one refusal, and its violations; `None` where ajv is not installed.
pub(crate) fn reject(schema: &Value, times: u32) -> Result<Option<(f64, Value)>> {
    let modules = modules();
    if !["ajv", "ajv-formats"].iter().all(|name| modules.join(name).join("package.json").is_file()) {
        return Ok(None);
    }
    let input = std::env::temp_dir().join(format!("in_process-{}.json", std::process::id()));
    std::fs::write(&input, json!({"schema": schema, "text": INVALID, "times": times}).to_string())?;
    let output = std::fs::File::open(&input)
        .and_then(|file| Command::new("node").args(["-e", PROGRAM]).env("NODE_PATH", modules).stdin(file).output());
    std::fs::remove_file(&input)?;
    let output = output?;
    if !output.status.success() {
        return Err(Error::new("WRONG_ANSWER").message(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let Told { figure, violations } = serde_json::from_slice(&output.stdout)?;
    Ok(Some((figure, violations)))
}

fn modules() -> PathBuf {
    let folder = std::env::var_os("MODELLER_NPM")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/npm"), PathBuf::from);
    folder.join("node_modules")
}
