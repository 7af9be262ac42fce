//! Programs that tests start.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that serves, killed when it is dropped.
#[derive(Debug)]
pub struct Served {
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The line that it printed.
    pub line: String,
    /// Kept, so that the program can go on printing.
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    /// Starts a program with its data in this folder, and waits until it says where it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(program: impl AsRef<Path>, data: &Path) -> Self {
        Self::start_with(program, &[], data)
    }

    /// The same with arguments of its own before those of every program.
    ///
    /// # Panics
    /// As [`Served::start`].
    #[must_use]
    pub fn start_with(program: impl AsRef<Path>, args: &[&str], data: &Path) -> Self {
        let mut command = Command::new(program.as_ref());
        command.args(args);
        Self::start_command(command, data)
    }

    /// The same of a command that is all but for where it listens and where its data is.
    ///
    /// # Panics
    /// As [`Served::start`].
    #[must_use]
    #[expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    pub fn start_command(mut command: Command, data: &Path) -> Self {
        let mut child = command
            .args(["--addr", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let addr = line.split_once("http://").and_then(|(_, rest)| rest.split([',', ' ', '\n']).next()?.parse().ok());
        let Some(addr) = addr else { panic!("no address in the line `{line}`") };
        Self { child, addr, line, _stdout: stdout }
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
