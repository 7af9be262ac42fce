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
    Square(u8),
}
const _: () = {
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Shape {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            #[allow(unused_imports)]
            use ::modeller::__private::{BySerialize as _, ByView as _};
            match self {
                Self::Empty => ::modeller::__private::ValueRef::Str("empty"),
                Self::Square(_) => ::modeller::__private::ValueRef::Object(self),
                _ => ::modeller::__private::ValueRef::Serialized(self),
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::Variants for Shape {
        fn members<'a>(
            &'a self,
            take: &mut ::modeller::__private::Take<'_, 'a>,
        ) -> bool {
            #[allow(unused_imports)]
            use ::modeller::__private::{BySerialize as _, ByView as _};
            match self {
                Self::Square(inner) => {
                    take("square", (&::modeller::__private::Probe(inner)).view())
                }
                _ => false,
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::ObjectRef for Shape {
        fn get(
            &self,
            name: &str,
        ) -> ::core::option::Option<::modeller::__private::ValueRef<'_>> {
            ::modeller::__private::variant_member(self, name)
        }
        fn slots(&self) -> usize {
            ::modeller::__private::variant_slots(self)
        }
        fn entry(
            &self,
            slot: usize,
        ) -> ::core::option::Option<(&str, ::modeller::__private::ValueRef<'_>)> {
            ::modeller::__private::variant_entry(self, slot)
        }
    }
};
