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
impl<C: crate::inner::__private::Calls<User>> StatsMethod for C {
    fn stats(
        &self,
    ) -> impl ::core::future::Future<
        Output = crate::inner::__private::Result<
            <Result<u64> as crate::inner::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        #[allow(unused_imports)]
        use crate::inner::__private::{Unfit as _, UnfitCall as _};
        const CALLED: crate::inner::__private::Called<
            <Result<u64> as crate::inner::__private::Returned>::Output,
        > = crate::inner::__private::Called {
            id: "stats",
            transaction: true,
            read: crate::inner::__private::Witness::<
                <Result<u64> as crate::inner::__private::Returned>::Output,
            >::READ,
        };
        crate::inner::__private::Calling::<
            (),
            <Result<u64> as crate::inner::__private::Returned>::Output,
        >::call::<User, C>(self, CALLED, ())
    }
}
const _: () = {
    #[allow(unused_imports)]
    use crate::inner::__private::Unfit as _;
    const _: () = ::core::assert!(
        crate ::inner::__private::Witness:: < < Result < u64 > as crate
        ::inner::__private::Returned > ::Output > ::IS_OUTPUT,
        "what `stats` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`"
    );
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
        output: crate::inner::__private::Witness::<
            <Result<u64> as crate::inner::__private::Returned>::Output,
        >::OUTPUT,
        transaction: true,
        max_bytes: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: State<Clock> = crate::inner::__private::Taking::<
                State<Clock>,
            >::take(&mut __call)?;
            crate::inner::__private::Witness::<
                <Result<u64> as crate::inner::__private::Returned>::Output,
            >::output(stats(__a0).await)
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
