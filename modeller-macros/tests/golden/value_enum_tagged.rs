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
#[serde(tag = "kind", rename_all_fields = "camelCase")]
enum Shape {
    Empty,
    Circle { radius_in_mm: f64 },
    Square(Square),
}
const _: () = {
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Shape {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            #[allow(unused_imports)]
            use ::modeller::__private::{BySerialize as _, ByView as _};
            match self {
                Self::Empty => ::modeller::__private::ValueRef::Object(self),
                Self::Circle { .. } => ::modeller::__private::ValueRef::Object(self),
                Self::Square(inner) => {
                    match (&::modeller::__private::Probe(inner)).view() {
                        ::modeller::__private::ValueRef::Object(_) => {
                            ::modeller::__private::ValueRef::Object(self)
                        }
                        _ => ::modeller::__private::ValueRef::Serialized(self),
                    }
                }
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
                Self::Empty => {
                    take("kind", ::modeller::__private::ValueRef::Str("empty"))
                }
                Self::Circle { radius_in_mm: member0 } => {
                    take("kind", ::modeller::__private::ValueRef::Str("circle"))
                        || take(
                            "radiusInMm",
                            (&::modeller::__private::Probe(member0)).view(),
                        )
                }
                Self::Square(inner) => {
                    take("kind", ::modeller::__private::ValueRef::Str("square"))
                        || ::modeller::__private::inner_members(
                            (&::modeller::__private::Probe(inner)).view(),
                            take,
                        )
                }
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
