async fn report(users: Model<User>) -> Result<()> {
    Ok(())
}
/// The method `report` as a method of `Model`.
#[allow(dead_code, private_interfaces)]
trait ReportMethod {
    /// The method `report` as a method of `Model`.
    fn report(
        &self,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send;
}
#[automatically_derived]
impl<C: ::modeller::__private::Calls<User>> ReportMethod for C {
    fn report(
        &self,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        #[allow(unused_imports)]
        use ::modeller::__private::{Unfit as _, UnfitCall as _};
        const CALLED: ::modeller::__private::Called<
            <Result<()> as ::modeller::__private::Returned>::Output,
        > = ::modeller::__private::Called {
            id: "report",
            transaction: false,
            read: ::modeller::__private::Witness::<
                <Result<()> as ::modeller::__private::Returned>::Output,
            >::READ,
        };
        ::modeller::__private::Calling::<
            (),
            <Result<()> as ::modeller::__private::Returned>::Output,
        >::call::<User, C>(self, CALLED, ())
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < () > as
        ::modeller::__private::Returned > ::Output > ::IS_OUTPUT,
        "what `report` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`"
    );
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::LongMethodArg>() {}
        offered::<Model<User>>();
    };
    static OPERATION: ::modeller::__private::OperationDeclaration = ::modeller::__private::OperationDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "report",
        access: ::core::option::Option::None,
        description: "",
        args: ::core::option::Option::None,
        output: ::modeller::__private::Witness::<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >::OUTPUT,
        transaction: false,
        max_bytes: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: Model<User> = ::modeller::__private::Taking::<
                Model<User>,
            >::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<()> as ::modeller::__private::Returned>::Output,
            >::output(report(__a0).await)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Method(
        &OPERATION,
    );
};
