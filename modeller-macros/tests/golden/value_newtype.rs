#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::modeller::__private::serde::Serialize,
    ::modeller::__private::serde::Deserialize,
    ::modeller::__private::schemars::JsonSchema,
)]
#[serde(crate = "::modeller::__private::serde")]
#[schemars(crate = "::modeller::__private::schemars")]
#[schemars(extend("format" = "email"))]
pub struct Email(String);
const _: () = {
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Email {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            #[allow(unused_imports)]
            use ::modeller::__private::{BySerialize as _, ByView as _};
            (&::modeller::__private::Probe(&self.0)).view()
        }
    }
    impl ::modeller::__private::keywords::Text for Email {}
    impl ::modeller::__private::keywords::Indexable for Email {}
    impl ::modeller::__private::keywords::RefersTo<Email> for Email {}
    impl ::modeller::__private::keywords::RefersTo<::core::option::Option<Email>>
    for Email {}
    const _: fn() = || {
        {
            fn fits<T: ::modeller::__private::keywords::Text>() {}
            fits::<String>();
        }
    };
};
