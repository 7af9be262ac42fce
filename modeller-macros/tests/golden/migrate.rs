fn old_user(old: Document) -> Result<Document> {
    Ok(old)
}
const _: () = {
    static MIGRATE: ::modeller::__private::MigrateDeclaration = ::modeller::__private::MigrateDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        run: |old: ::modeller::__private::Document| {
            let old: Document = old;
            ::modeller::__private::migrated(
                &::modeller::__private::Returned::returned(old_user(old))?,
            )
        },
        site: ::modeller::__private::Site {
            module: ::core::module_path!(),
            file: ::core::file!(),
            line: ::core::line!(),
        },
    };
    #[::modeller::__private::linkme::distributed_slice(
        ::modeller::__private::DECLARATIONS
    )]
    #[linkme(crate = ::modeller::__private::linkme)]
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Migrate(
        &MIGRATE,
    );
};
