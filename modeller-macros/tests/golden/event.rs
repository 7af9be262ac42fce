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
impl<C: ::modeller::__private::Dispatches<User>> RoleChangedEvent for C {
    fn role_changed(
        &self,
        args: RoleChanged,
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
            id: "role_changed",
            transaction: true,
            read: ::modeller::__private::Witness::<
                <Result<()> as ::modeller::__private::Returned>::Output,
            >::READ,
        };
        ::modeller::__private::Calling::<
            RoleChanged,
            <Result<()> as ::modeller::__private::Returned>::Output,
        >::dispatch::<User, C>(self, CALLED, args)
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < RoleChanged > ::IS_ARGS,
        "`RoleChanged` cannot be the arguments of an event, it has no schema; annotate it with `#[value]` (what an event is given beside its arguments stands after them)"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < () > as
        ::modeller::__private::Returned > ::Output > ::IS_OUTPUT,
        "what `role_changed` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`"
    );
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
            ::modeller::__private::Witness::<RoleChanged>::PAYLOAD,
        ),
        output: ::modeller::__private::Witness::<
            <Result<()> as ::modeller::__private::Returned>::Output,
        >::OUTPUT,
        transaction: true,
        max_bytes: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: RoleChanged = ::modeller::__private::Witness::<
                RoleChanged,
            >::payload(&mut __call)?;
            let __a1: Subscription<User> = ::modeller::__private::Taking::<
                Subscription<User>,
            >::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<()> as ::modeller::__private::Returned>::Output,
            >::output(role_changed(__a0, __a1).await)
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
