async fn stats(State(clock): State<Clock>) -> Result<u64> {
    Ok(clock.now())
}
/// The method `stats` as a method of `Model`.
#[allow(dead_code, private_interfaces)]
trait StatsMethod {
    /// The method `stats` as a method of `Model`.
    fn stats(
        &self,
    ) -> impl ::core::future::Future<
        Output = crate::inner::__private::Result<
            <Result<u64> as crate::inner::__private::Returned>::Output,
        >,
    > + ::core::marker::Send;
}
#[automatically_derived]
impl StatsMethod for crate::inner::__private::Model<User> {
    fn stats(
        &self,
    ) -> impl ::core::future::Future<
        Output = crate::inner::__private::Result<
            <Result<u64> as crate::inner::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        crate::inner::__private::call(self, "stats", ())
    }
}
const _: () = {
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: crate::inner::__private::MethodArg>() {}
        offered::<State<Clock>>();
    };
    static OPERATION: crate::inner::__private::OperationDeclaration = crate::inner::__private::OperationDeclaration {
        model: <User as crate::inner::__private::ModelType>::DECLARATION,
        id: "stats",
        access: ::core::option::Option::None,
        description: "",
        args: ::core::option::Option::None,
        output: crate::inner::__private::OutputKind::of::<
            <Result<u64> as crate::inner::__private::Returned>::Output,
        >(),
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: State<Clock> = crate::inner::__private::arg(&mut __call)?;
            crate::inner::__private::output(stats(__a0).await)
        }),
        site: crate::inner::__private::Site {
            module: ::core::module_path!(),
            file: ::core::file!(),
            line: ::core::line!(),
        },
    };
    #[crate::inner::__private::linkme::distributed_slice(
        crate::inner::__private::DECLARATIONS
    )]
    #[linkme(crate = crate::inner::__private::linkme)]
    static DECLARATION: crate::inner::__private::Declaration = crate::inner::__private::Declaration::Method(
        &OPERATION,
    );
};
