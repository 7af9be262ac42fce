/// Keeps a picture.
pub async fn avatar(
    mut file: File,
    fields: Avatar,
    users: &Model<User>,
) -> Result<Doc<User>> {
    users.update(fields.id, User::AVATAR.set(file.bytes(1024).await?.len())).await
}
/// The upload `avatar` as a method of `Model`.
#[allow(dead_code, private_interfaces)]
pub trait AvatarUpload {
    /// Keeps a picture.
    fn avatar(
        &self,
        file: ::modeller::__private::File,
        args: Avatar,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send;
}
#[automatically_derived]
impl AvatarUpload for ::modeller::__private::Model<User> {
    fn avatar(
        &self,
        file: ::modeller::__private::File,
        args: Avatar,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        #[allow(unused_imports)]
        use ::modeller::__private::UnfitCall as _;
        ::modeller::__private::Calling::<
            Avatar,
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >::upload(self, "avatar", file, args)
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < Avatar > ::IS_ARGS,
        "`Avatar` cannot be the arguments of an upload, it has no schema; annotate it with `#[value]` (what an upload is given beside its arguments stands after them)"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < Doc < User > > as
        ::modeller::__private::Returned > ::Output > ::IS_OUTPUT,
        "what `avatar` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`"
    );
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::UploadArg>() {}
        offered::<File>();
        offered::<Model<User>>();
    };
    static OPERATION: ::modeller::__private::OperationDeclaration = ::modeller::__private::OperationDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "avatar",
        access: ::core::option::Option::Some(
            ::modeller::__private::Visibility::Protected,
        ),
        description: "Keeps a picture.",
        args: ::core::option::Option::Some(
            ::modeller::__private::Witness::<Avatar>::PAYLOAD,
        ),
        output: ::modeller::__private::Witness::<
            <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
        >::OUTPUT,
        transaction: false,
        max_bytes: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a1: Avatar = ::modeller::__private::Witness::<
                Avatar,
            >::payload(&mut __call)?;
            let __a0: File = ::modeller::__private::Taking::<File>::take(&mut __call)?;
            let __a2: Model<User> = ::modeller::__private::Taking::<
                Model<User>,
            >::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<Doc<User>> as ::modeller::__private::Returned>::Output,
            >::output(avatar(__a0, __a1, &__a2).await)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Upload(
        &OPERATION,
    );
};
