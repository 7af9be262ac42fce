/// Makes someone an administrator.
pub async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
}
/// The method `promote` as a method of `Model`.
#[allow(dead_code, private_interfaces)]
pub trait PromoteMethod {
    /// Makes someone an administrator.
    fn promote(
        &self,
        args: Promote,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
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
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        #[allow(unused_imports)]
        use ::modeller::__private::{Unfit as _, UnfitCall as _};
        const CALLED: ::modeller::__private::Called<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        > = ::modeller::__private::Called {
            id: "promote",
            transaction: true,
            read: ::modeller::__private::Witness::<
                <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
            >::READ,
        };
        ::modeller::__private::Calling::<
            Promote,
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >::call::<User, C>(self, CALLED, args)
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < Promote > ::IS_ARGS,
        "`Promote` cannot be the arguments of a method, it has no schema; annotate it with `#[value]` (what a method is given beside its arguments stands after them)"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < Doc < User > > as
        ::modeller::__private::Returned > ::Output > ::IS_OUTPUT,
        "what `promote` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`"
    );
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::MethodArg>() {}
        offered::<Model<User>>();
    };
    static OPERATION: ::modeller::__private::OperationDeclaration = ::modeller::__private::OperationDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "promote",
        access: ::core::option::Option::Some(
            ::modeller::__private::Visibility::Protected,
        ),
        description: "Makes someone an administrator.",
        args: ::core::option::Option::Some(
            ::modeller::__private::Witness::<Promote>::PAYLOAD,
        ),
        output: ::modeller::__private::Witness::<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >::OUTPUT,
        transaction: true,
        max_bytes: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: Promote = ::modeller::__private::Witness::<
                Promote,
            >::payload(&mut __call)?;
            let __a1: Model<User> = ::modeller::__private::Taking::<
                Model<User>,
            >::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
            >::output(promote(__a0, __a1).await)
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
