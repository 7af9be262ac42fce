//! Filter, sort, skip and limit over many documents, with and without indexes, against a sorted vector.

use modeller::prelude::*;
use proptest::prelude::*;

#[model(id = "stones")]
#[derive(PartialEq)]
pub struct Stone {
    #[field(index)]
    pub colour: u8,
    #[field(index)]
    pub tags: Vec<u8>,
    pub plain: Vec<u8>,
    pub weight: i64,
}

#[derive(Clone, Debug)]
enum Which {
    All,
    Colour(u8),
    Colours(Vec<u8>),
    Tag(u8),
    Tags(Vec<u8>),
    Both(u8, Vec<u8>),
}

fn which() -> impl Strategy<Value = Which> {
    let several = || prop::collection::vec(0_u8..6, 0..4);
    prop_oneof![
        Just(Which::All),
        (0_u8..6).prop_map(Which::Colour),
        several().prop_map(Which::Colours),
        (0_u8..6).prop_map(Which::Tag),
        several().prop_map(Which::Tags),
        (0_u8..6, several()).prop_map(|(colour, tags)| Which::Both(colour, tags)),
    ]
}

/// The same filter, once so that an index answers it and once so that none can.
fn filters(which: &Which) -> [Filter<Stone>; 2] {
    let json = |json: serde_json::Value| Filter::parse(&json).unwrap();
    let tags = |field: &str, tags: &[u8]| json(serde_json::json!({field: {"$in": tags}}));
    // Two ranges are one value, and no look-up.
    let scanned = |colour: u8| Stone::COLOUR.gte(colour) & Stone::COLOUR.lte(colour);
    match which {
        Which::All => [Filter::all(), Filter::all()],
        Which::Colour(colour) => [Stone::COLOUR.eq(*colour), scanned(*colour)],
        Which::Colours(colours) => {
            let none = Stone::WEIGHT.lt(i64::MIN);
            [
                Stone::COLOUR.is_in(colours.clone()),
                colours.iter().fold(none, |filter, colour| filter | scanned(*colour)),
            ]
        }
        Which::Tag(tag) => [json(serde_json::json!({"tags": tag})), json(serde_json::json!({"plain": tag}))],
        Which::Tags(some) => [tags("tags", some), tags("plain", some)],
        Which::Both(colour, some) => {
            [Stone::COLOUR.eq(*colour) & tags("tags", some), scanned(*colour) & tags("plain", some)]
        }
    }
}

fn matches(which: &Which, stone: &Stone) -> bool {
    let tagged = |some: &[u8]| stone.tags.iter().any(|tag| some.contains(tag));
    match which {
        Which::All => true,
        Which::Colour(colour) => stone.colour == *colour,
        Which::Colours(colours) => colours.contains(&stone.colour),
        Which::Tag(tag) => stone.tags.contains(tag),
        Which::Tags(some) => tagged(some),
        Which::Both(colour, some) => stone.colour == *colour && tagged(some),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_the_sorted_vector(
        stones in prop::collection::vec((0_u8..6, prop::collection::vec(0_u8..6, 0..4), 0_i64..20), 1..400),
        queries in prop::collection::vec((which(), 0_usize..4, 0_usize..30, 0_usize..40), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::new().model::<Stone>().in_memory().open().await.unwrap();
            let all = app.model::<Stone>();
            for (colour, tags, weight) in stones {
                all.insert(Stone { colour, plain: tags.clone(), tags, weight }).await.unwrap();
            }
            // In the order of the ids, which is that of the inserts.
            let stored = all.find(Filter::all()).await.unwrap();
            for (which, order, skip, limit) in queries {
                let mut expected: Vec<_> = stored.iter().filter(|stone| matches(&which, stone)).cloned().collect();
                let sort = match order {
                    0 => None,
                    1 => {
                        expected.sort_by_key(|stone| stone.weight);
                        Some(Stone::WEIGHT.asc())
                    }
                    2 => {
                        expected.sort_by_key(|stone| -stone.weight);
                        Some(Stone::WEIGHT.desc())
                    }
                    _ => {
                        expected.sort_by_key(|stone| (-i64::from(stone.colour), stone.weight));
                        Some(Stone::COLOUR.desc().then(Stone::WEIGHT.asc()))
                    }
                };
                let count = expected.len();
                let most = if limit == 0 { usize::MAX } else { limit };
                let expected: Vec<_> = expected.into_iter().skip(skip).take(most).map(|stone| stone.id()).collect();
                for filter in filters(&which) {
                    let mut query = Query::of(filter.clone()).skip(skip).limit(limit);
                    if let Some(sort) = sort.clone() {
                        query = query.sort(sort);
                    }
                    let page = all.list(query).await.unwrap();
                    let found: Vec<_> = page.items.iter().map(Doc::id).collect();
                    prop_assert_eq!(&found, &expected, "{:?} {}", which, filter.canonical());
                    prop_assert_eq!(all.count(filter).await.unwrap(), count);
                }
            }
            Ok(())
        })?;
    }
}
