::core::compile_error! {
    "`promote` must be async; write `async fn promote`"
}
fn promote(args: Promote) -> Result<()> {
    Ok(())
}
/// The method `promote` as a method of `Model`.
#[allow(dead_code, private_interfaces)]
trait PromoteMethod {
    /// The method `promote` as a method of `Model`.
    fn promote(
        &self,
        args: Promote,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send;
}
#[automatically_derived]
impl<C: ::modeller::__private::Calls<User>> PromoteMethod for C {
    fn promote(
        &self,
        args: Promote,
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
            id: "promote",
            transaction: true,
            read: ::modeller::__private::Witness::<
                <Result<()> as ::modeller::__private::Returned>::Output,
            >::READ,
        };
        ::modeller::__private::Calling::<
            Promote,
            <Result<()> as ::modeller::__private::Returned>::Output,
        >::call::<User, C>(self, CALLED, args)
    }
}
