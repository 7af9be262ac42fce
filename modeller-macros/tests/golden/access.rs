async fn own_notes(caller: &Caller, teams: Model<Team>) -> Result<Access<Note>> {
    Ok(Access::none())
}
const _: () = {
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::AccessArg>() {}
        offered::<Caller>();
        offered::<Model<Team>>();
    };
    static ASKED: ::modeller::__private::AccessDeclaration = ::modeller::__private::AccessDeclaration {
        model: <Note as ::modeller::__private::ModelType>::DECLARATION,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            #[allow(unused_imports)]
            use ::modeller::__private::Unfit as _;
            let __a0: Caller = ::modeller::__private::Taking::<
                Caller,
            >::take(&mut __call)?;
            let __a1: Model<Team> = ::modeller::__private::Taking::<
                Model<Team>,
            >::take(&mut __call)?;
            let __answer = own_notes(&__a0, __a1).await;
            ::modeller::__private::rights::<Note, _>(__answer)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Access(
        &ASKED,
    );
};
