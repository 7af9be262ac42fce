//! The program `modeller`, for the tests: what its package builds is not in reach of another one.

fn main() -> std::process::ExitCode {
    modeller::cli::main()
}
