async fn append(part: Part, chunk: Chunk) -> Result<u64> {
    Ok(chunk.offset())
}
/// The stream `append` as a method of `Model`.
#[allow(dead_code, private_interfaces)]
trait AppendStream {
    /// The stream `append` as a method of `Model`.
    fn append(
        &self,
        chunk: ::modeller::__private::Chunk,
        args: Part,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<u64> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send;
}
#[automatically_derived]
impl AppendStream for ::modeller::__private::Model<User> {
    fn append(
        &self,
        chunk: ::modeller::__private::Chunk,
        args: Part,
    ) -> impl ::core::future::Future<
        Output = ::modeller::__private::Result<
            <Result<u64> as ::modeller::__private::Returned>::Output,
        >,
    > + ::core::marker::Send {
        #[allow(unused_imports)]
        use ::modeller::__private::UnfitCall as _;
        ::modeller::__private::Calling::<
            Part,
            <Result<u64> as ::modeller::__private::Returned>::Output,
        >::stream(self, "append", chunk, args)
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::Unfit as _;
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < Part > ::IS_ARGS,
        "`Part` cannot be the arguments of a stream, it has no schema; annotate it with `#[value]` (what a stream is given beside its arguments stands after them)"
    );
    const _: () = ::core::assert!(
        ::modeller::__private::Witness:: < < Result < u64 > as
        ::modeller::__private::Returned > ::Output > ::IS_OUTPUT,
        "what `append` answers has no schema; annotate the type with `#[value]`, or answer `Doc<…>`, a library type or `()`"
    );
    const _: fn() = || {
        #[allow(dead_code)]
        fn offered<A: ::modeller::__private::StreamArg>() {}
        offered::<Chunk>();
    };
    static OPERATION: ::modeller::__private::OperationDeclaration = ::modeller::__private::OperationDeclaration {
        model: <User as ::modeller::__private::ModelType>::DECLARATION,
        id: "append",
        access: ::core::option::Option::None,
        description: "",
        args: ::core::option::Option::Some(
            ::modeller::__private::Witness::<Part>::PAYLOAD,
        ),
        output: ::modeller::__private::Witness::<
            <Result<u64> as ::modeller::__private::Returned>::Output,
        >::OUTPUT,
        transaction: true,
        max_bytes: ::core::option::Option::None,
        run: |mut __call| ::std::boxed::Box::pin(async move {
            let __a0: Part = ::modeller::__private::Witness::<
                Part,
            >::payload(&mut __call)?;
            let __a1: Chunk = ::modeller::__private::Taking::<Chunk>::take(&mut __call)?;
            ::modeller::__private::Witness::<
                <Result<u64> as ::modeller::__private::Returned>::Output,
            >::output(append(__a0, __a1).await)
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
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Stream(
        &OPERATION,
    );
};
