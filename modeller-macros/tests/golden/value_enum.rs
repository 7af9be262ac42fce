#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::modeller::__private::serde::Serialize,
    ::modeller::__private::serde::Deserialize,
    ::modeller::__private::schemars::JsonSchema,
)]
#[serde(crate = "::modeller::__private::serde")]
#[schemars(crate = "::modeller::__private::schemars")]
#[serde(rename_all = "camelCase")]
#[derive(Default, PartialEq)]
pub enum Role {
    #[default]
    User,
    SuperAdmin,
}
const _: () = {
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Role {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            match self {
                Self::User => ::modeller::__private::ValueRef::Str("user"),
                Self::SuperAdmin => ::modeller::__private::ValueRef::Str("superAdmin"),
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::keywords::Indexable for Role {}
};
