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
impl PromoteMethod for ::modeller::__private::Model<User> {
    fn promote(
        &self,
        args: Promote,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        ::modeller::__private::call(self, "promote", args)
    }
}
const _: () = {
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::MethodArg>() {}
        offered::<Model<User>>();
    };
    static OPERATION: ::modeller::__private::OperationDeclaration = ::modeller::__private::OperationDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "promote",
        access: ::core::option::Option::Some(::modeller::__private::Access::Protected),
        description: "Makes someone an administrator.",
        args: ::core::option::Option::Some(
            ::modeller::__private::PayloadKind::of::<Promote>(),
        ),
        output: ::modeller::__private::OutputKind::of::<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >(),
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0 = ::modeller::__private::payload::<Promote>(&mut __call)?;
            let __a1: Model<User> = ::modeller::__private::arg(&mut __call)?;
            ::modeller::__private::output(promote(__a0, __a1).await)
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
