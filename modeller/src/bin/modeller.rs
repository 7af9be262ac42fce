//! The program `modeller`: serves JSON Schema files, validates and queries JSON lines. See `modeller --help`.

fn main() -> std::process::ExitCode {
    modeller::cli::main()
}
