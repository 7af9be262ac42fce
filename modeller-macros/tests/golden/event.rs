async fn role_changed(args: RoleChanged, room: Subscription<User>) -> Result<()> {
    Ok(())
}
/// The event `role_changed` as a method of `Subscription`.
#[allow(dead_code, private_interfaces)]
trait RoleChangedEvent {
    /// The event `role_changed` as a method of `Subscription`.
    fn role_changed(
        &self,
        args: RoleChanged,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send;
}
#[automatically_derived]
impl RoleChangedEvent for ::modeller::__private::Subscription<User> {
    fn role_changed(
        &self,
        args: RoleChanged,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        ::modeller::__private::dispatch(self, "role_changed", args)
    }
}
const _: () = {
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::EventArg<User>>() {}
        offered::<Subscription<User>>();
    };
    static OPERATION: ::modeller::__private::OperationDeclaration = ::modeller::__private::OperationDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "role_changed",
        access: ::core::option::Option::None,
        description: "",
        args: ::core::option::Option::Some(
            ::modeller::__private::PayloadKind::of::<RoleChanged>(),
        ),
        output: ::modeller::__private::OutputKind::of::<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >(),
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0 = ::modeller::__private::payload::<RoleChanged>(&mut __call)?;
            let __a1: Subscription<User> = ::modeller::__private::arg(&mut __call)?;
            ::modeller::__private::output(role_changed(__a0, __a1).await)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Event(
        &OPERATION,
    );
};
