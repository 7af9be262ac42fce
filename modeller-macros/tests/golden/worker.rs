async fn sweep(users: Model<User>) -> Result<()> {
    Ok(())
}
const _: () = {
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::WorkerArg>() {}
        offered::<Model<User>>();
    };
    static WORKER: ::modeller::__private::WorkerDeclaration = ::modeller::__private::WorkerDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: ::core::option::Option::Some("sweep"),
        schedule: ::modeller::__private::Schedule::every(
                ::core::time::Duration::new(90u64, 0u32),
            )
            .immediate(false),
        run: |mut __call| ::std::boxed::Box::pin(async move {
            #[allow(unused_imports)]
            use ::modeller::__private::Unfit as _;
            let __a0: Model<User> = ::modeller::__private::Taking::<
                Model<User>,
            >::take(&mut __call)?;
            ::modeller::__private::Returned::returned(sweep(__a0).await)
        }),
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Worker(
        &WORKER,
    );
};
