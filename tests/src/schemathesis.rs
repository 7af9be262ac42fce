//! Programs that are asked at random, by what they say of themselves.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Folder;
use crate::process::Served;

/// Where the tools in Python are installed, by `.ci/run` or by hand.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    Path::new(env!("MODELLER_PYTHON")).join("bin").join(name)
}

/// How many examples of each operation, and by which seeds. The long run is `EXAMPLES=1000 SEEDS=1,2,3`.
fn asked_for(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Asks a program that serves at random, and lets nothing pass that is not as its description says.
///
/// # Panics
/// When something is not, or the tool is not installed.
#[expect(clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking, and shows what it did")]
pub fn exercise(program: &Path, arguments: &[&str]) {
    assert!(tool("schemathesis").is_file(), "needs the Python packages that .ci/run installs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failed = Vec::new();
    for seed in asked_for("SEEDS", "1").split(',') {
        let folder = Folder::new();
        let served = Served::start(program, folder.path());
        let output = Command::new(tool("schemathesis"))
            .current_dir(folder.path())
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", root.join("py"))
            .arg("--config-file")
            .arg(root.join("schemathesis.toml"))
            .args(["run", &format!("http://{}/@openapi.json", served.addr)])
            .args(["--checks", "all", "--exclude-checks", "ignored_auth"])
            .args(["--seed", seed, "--max-examples", &asked_for("EXAMPLES", "15")])
            .args(["--exclude-path-regex", r"@(socket|files)|socket\.io"])
            .args(["--workers", "1", "--no-color", "--continue-on-failure"])
            .args(arguments)
            .output()
            .expect("schemathesis runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            let last = said.lines().count().saturating_sub(25);
            println!("{}", said.lines().skip(last).collect::<Vec<_>>().join("\n"));
        } else {
            failed.push(format!("seed {seed}:\n{said}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
