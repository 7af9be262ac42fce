/// Whether the program answers.
async fn ping(QueryArgs(ping): QueryArgs<Ping>, caller: &Caller) -> Result<String> {
    Ok("pong".into())
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < Ping > ::IS_ARGS,
        "`Ping` cannot be read from a query string, it has no schema; annotate it with `#[value]`"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < String > as
        ::modeller::__private::Returned > ::Output > ::IS_ROUTE_OUTPUT,
        "what `ping` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type, `()`, or a `RouteResponse`"
    );
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::LongRouteArg>() {}
        offered::<QueryArgs<Ping>>();
        offered::<Caller>();
    };
    static ROUTE: ::modeller::__private::RouteDeclaration = ::modeller::__private::RouteDeclaration {
        id: "ping",
        method: ::modeller::__private::HttpMethod::Get,
        path: "/ping",
        access: ::modeller::__private::Visibility::Public,
        description: "Whether the program answers.",
        args: ::core::option::Option::None,
        parts: &[
            ::modeller::__private::Witness::<QueryArgs<Ping>>::PART,
            ::modeller::__private::Witness::<Caller>::PART,
        ],
        output: ::modeller::__private::Witness::<
            <Result<String> as ::modeller::__private::Returned>::Output,
        >::ROUTE_OUTPUT,
        transaction: false,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: QueryArgs<Ping> = ::modeller::__private::Taking::<
                QueryArgs<Ping>,
            >::take(&mut __call)?;
            let __a1: Caller = ::modeller::__private::Taking::<
                Caller,
            >::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<String> as ::modeller::__private::Returned>::Output,
            >::answer(ping(__a0, &__a1).await)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Route(
        &ROUTE,
    );
};
