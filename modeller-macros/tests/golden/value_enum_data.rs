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
#[serde(deny_unknown_fields)]
enum Shape {
    Empty,
    Circle { radius: f64 },
}
const _: () = {
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Shape {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            match self {
                Self::Empty => ::modeller::__private::ValueRef::Str("empty"),
                _ => ::modeller::__private::ValueRef::Serialized(self),
            }
        }
    }
};
