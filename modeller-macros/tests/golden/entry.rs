fn main() -> ::std::process::ExitCode {
    async fn main_() -> Result<()> {
        App::discover().serve("127.0.0.1:3030").await
    }
    ::modeller::__private::main(main_())
}
