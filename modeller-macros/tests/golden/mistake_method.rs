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
impl PromoteMethod for ::modeller::__private::Model<User> {
    fn promote(
        &self,
        args: Promote,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        #[allow(unused_imports)]
        use ::modeller::__private::UnfitCall as _;
        ::modeller::__private::Calling::<
            Promote,
            <Result<()> as ::modeller::__private::Returned>::Output,
        >::call(self, "promote", args)
    }
}
