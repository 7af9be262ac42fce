async fn rename(
    args: Rename,
    PathArgs(thing): PathArgs<ThingPath>,
    tx: Transaction,
) -> Result<Doc<Thing>> {
    tx.model::<Thing>()?.update(thing.id, Thing::NAME.set(args.name)).await
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < Rename > ::IS_ARGS,
        "`Rename` cannot be the body of a route, it has no schema; annotate it with `#[value]` (what a route is given beside its body stands after it)"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < ThingPath > ::IS_ARGS,
        "`ThingPath` cannot be read from a path, it has no schema; annotate it with `#[value]`"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < Doc < Thing > > as
        ::modeller::__private::Returned > ::Output > ::IS_ROUTE_OUTPUT,
        "what `rename` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type, `()`, or a `RouteResponse`"
    );
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::RouteArg>() {}
        offered::<PathArgs<ThingPath>>();
        offered::<Transaction>();
    };
    static ROUTE: ::modeller::__private::RouteDeclaration = ::modeller::__private::RouteDeclaration {
        id: "rename",
        method: ::modeller::__private::HttpMethod::Post,
        path: "/rename/{id}",
        access: ::modeller::__private::Visibility::Protected,
        description: "",
        args: ::core::option::Option::Some(
            ::modeller::__private::Witness::<Rename>::PAYLOAD,
        ),
        parts: &[
            ::modeller::__private::Witness::<PathArgs<ThingPath>>::PART,
            ::modeller::__private::Witness::<Transaction>::PART,
        ],
        output: ::modeller::__private::Witness::<
            <Result<Doc<Thing>> as ::modeller::__private::Returned>::Output,
        >::ROUTE_OUTPUT,
        transaction: true,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: Rename = ::modeller::__private::Witness::<
                Rename,
            >::payload(&mut __call)?;
            let __a1: PathArgs<ThingPath> = ::modeller::__private::Taking::<
                PathArgs<ThingPath>,
            >::take(&mut __call)?;
            let __a2: Transaction = ::modeller::__private::Taking::<
                Transaction,
            >::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<Doc<Thing>> as ::modeller::__private::Returned>::Output,
            >::answer(rename(__a0, __a1, __a2).await)
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
