async fn by_email(caller: Caller, users: Model<User>) -> Result<Id<User>> {
    find(users, caller.claim("email")).await
}
const _: () = {
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::AuthenticateArg>() {}
        offered::<Caller>();
        offered::<Model<User>>();
    };
    static ASKED: ::modeller::__private::AuthenticateDeclaration = ::modeller::__private::AuthenticateDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            #[allow(unused_imports)]
            use ::modeller::__private::Unfit as _;
            let __a0: Caller = ::modeller::__private::Taking::<
                Caller,
            >::take(&mut __call)?;
            let __a1: Model<User> = ::modeller::__private::Taking::<
                Model<User>,
            >::take(&mut __call)?;
            let __answer = by_email(__a0, __a1).await;
            ::modeller::__private::found::<User, _>(__answer)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Authenticate(
        &ASKED,
    );
};
