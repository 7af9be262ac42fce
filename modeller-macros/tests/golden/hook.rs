async fn lowercase_email(user: &mut User, caller: &Caller) -> Result<()> {
    Ok(())
}
const _: () = {
    const _: fn() = || {
        fn offered_beforeinsert<
            A: ::modeller::__private::HookArg<
                    User,
                    ::modeller::__private::on::BeforeInsert,
                >,
        >() {}
        offered_beforeinsert::<&mut User>();
        offered_beforeinsert::<Caller>();
        fn offered_beforeupdate<
            A: ::modeller::__private::HookArg<
                    User,
                    ::modeller::__private::on::BeforeUpdate,
                >,
        >() {}
        offered_beforeupdate::<&mut User>();
        offered_beforeupdate::<Caller>();
    };
    static HOOK: ::modeller::__private::HookDeclaration = ::modeller::__private::HookDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "lowercase_email",
        on: &[
            ::modeller::__private::on::BeforeInsert::EVENT,
            ::modeller::__private::on::BeforeUpdate::EVENT,
        ],
        order: 5i32,
        schedule: ::core::option::Option::None,
        attempts: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            #[allow(unused_imports)]
            use ::modeller::__private::Unfit as _;
            let __a0: &mut User = ::modeller::__private::Taking::<
                &mut User,
            >::take(&mut __call)?;
            let __a1: Caller = ::modeller::__private::Taking::<
                Caller,
            >::take(&mut __call)?;
            ::modeller::__private::Returned::returned(lowercase_email(__a0, &__a1).await)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Hook(
        &HOOK,
    );
};
