//! A query, as it is asked.

use alloc::string::String;
use alloc::vec::Vec;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fields::{each_field, need, put};
use super::node::Budget;
use super::predicate::depth_limit;
use super::{Direction, Error, Path, Predicate};
use crate::env::Limits;
use crate::env::raw::Raw;
use crate::msgpack::{Kind, Reader, Writer};
use crate::value::DEPTH_MAX;

/// Which records of a map are wanted, in which order, how many, and what of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The map.
    pub map: String,
    /// What a record must be.
    pub predicate: Predicate,
    /// By which fields they are ordered: by the second where the first is equal, and so on, and by key in the end.
    pub order: Vec<(Path, Direction)>,
    /// How many of the first are left out. They count where what is held on the way to an answer is bounded.
    pub offset: usize,
    /// The most that are wanted behind those.
    pub limit: Option<usize>,
    /// The fields that are wanted; without, the whole value.
    pub fields: Option<Vec<Path>>,
}

impl Query {
    /// Everything in a map.
    pub fn of(map: &str) -> Self {
        Self {
            map: map.into(),
            ..Self::default()
        }
    }

    /// What each of many sources is asked, when who gathers their answers is asked this: as many of its first records as decide
    /// what is in the answer of all.
    pub fn of_source(&self) -> Self {
        Self {
            offset: 0,
            limit: self.limit.map(|limit| match limit {
                0 => 0,
                limit => limit.saturating_add(self.offset),
            }),
            ..self.clone()
        }
    }

    /// Reads TopGun's query object: `{where, predicate, sort, offset, limit, fields}`, each of them optional or null.
    ///
    /// A record must meet `where` and `predicate` both. `sort` is `{field: "asc" | "desc"}`, whose fields count in the order in
    /// which they are written, or a list of `{field, direction}`. `cursor`, `groupBy` and `aggregations` are refused, unless
    /// there is nothing in them; other fields are passed over.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn read(map: &str, reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Error> {
        let mut query = Self::of(map);
        let mut budget = Budget::new(limits);
        let (mut conditions, mut node, mut offset, mut limit) = (None, None, None, None);
        each_field(reader, |name, reader| {
            if reader.peek()? == Kind::Null {
                return Ok(false);
            }
            match name {
                "where" => conditions = Some(budget.conditions(reader)?),
                "predicate" => node = Some(budget.node(reader, 1)?),
                "sort" => query.order = read_order(reader, limits)?,
                "offset" => return put(&mut offset, "query.offset", reader, Reader::u64),
                "limit" => return put(&mut limit, "query.limit", reader, Reader::u64),
                "fields" => query.fields = Some(Self::read_fields(reader, limits)?),
                "cursor" => return Err(Error::Unsupported { what: "query.cursor" }),
                "groupBy" => return nothing_in("query.groupBy", reader),
                "aggregations" => return nothing_in("query.aggregations", reader),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        query.predicate = Predicate::and([conditions, node].into_iter().flatten().collect());
        // Together they may be deeper by one than each may be.
        let deepest = depth_limit(limits);
        if query.predicate.depth() > deepest {
            return Err(Error::TooDeep { limit: deepest });
        }
        let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
        query.offset = offset.map_or(0, count);
        query.limit = limit.map(count);
        Ok(query)
    }

    /// Reads the names of fields, which TopGun's client sends beside the query object.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn read_fields(reader: &mut Reader<'_>, limits: &Limits) -> Result<Vec<Path>, Error> {
        let of_field = |error| Error::Field {
            field: "query.fields",
            error,
        };
        let len = reader.list().map_err(of_field)?;
        check_fields(len, limits)?;
        (0..len)
            .map(|_| Path::parse(reader.text().map_err(of_field)?))
            .collect()
    }

    /// Writes the query object that [`Query::read`] reads; the map goes beside it.
    pub fn write(&self, out: &mut Writer) {
        let has_predicate = self.predicate != Predicate::True;
        let parts = [
            has_predicate,
            !self.order.is_empty(),
            self.offset > 0,
            self.limit.is_some(),
            self.fields.is_some(),
        ];
        out.map(parts.into_iter().filter(|part| *part).count());
        if has_predicate {
            self.predicate.write(out.text("predicate"));
        }
        if !self.order.is_empty() {
            out.text("sort").list(self.order.len());
            for (path, direction) in &self.order {
                out.map(2).text("field").text(path.name());
                out.text("direction").text(direction.word());
            }
        }
        if self.offset > 0 {
            out.text("offset").u64(self.offset as u64);
        }
        if let Some(limit) = self.limit {
            out.text("limit").u64(limit as u64);
        }
        if let Some(fields) = &self.fields {
            out.text("fields").list(fields.len());
            for path in fields {
                out.text(path.name());
            }
        }
    }
}

/// The map and the query object: what is compiled is compiled anew, and its depth is guarded where any query's is.
impl Serialize for Query {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Writer::new();
        self.write(&mut object);
        (&self.map, Raw(&object.into_vec())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (map, object) = <(&str, Raw<'_>)>::deserialize(deserializer)?;
        // It was within the limits of the node that took it.
        let limits = Limits {
            depth: DEPTH_MAX,
            predicate_nodes: usize::MAX,
            pattern_chars: usize::MAX,
            query_fields: usize::MAX,
            ..Limits::default()
        };
        Self::read(map, &mut Reader::new(object.0), &limits).map_err(D::Error::custom)
    }
}

fn check_fields(len: usize, limits: &Limits) -> Result<(), Error> {
    let limit = limits.query_fields;
    if len > limit {
        return Err(Error::TooManyFields { limit });
    }
    Ok(())
}

fn nothing_in(what: &'static str, reader: &Reader<'_>) -> Result<bool, Error> {
    let mut ahead = *reader;
    match ahead.list() {
        Ok(0) => Ok(false),
        _ => Err(Error::Unsupported { what }),
    }
}

fn read_order(reader: &mut Reader<'_>, limits: &Limits) -> Result<Vec<(Path, Direction)>, Error> {
    let mut order = Vec::new();
    if reader.peek()? == Kind::Map {
        let len = reader.map()?;
        check_fields(len, limits)?;
        for _ in 0..len {
            let of_field = |error| Error::Field {
                field: "query.sort",
                error,
            };
            let path = reader.text().map_err(of_field)?;
            let word = reader.text().map_err(of_field)?;
            order.push((Path::parse(path)?, direction(word)?));
        }
        return Ok(order);
    }
    let len = reader.list().map_err(|error| Error::Field {
        field: "query.sort",
        error,
    })?;
    check_fields(len, limits)?;
    for _ in 0..len {
        let (mut path, mut word) = (None, None);
        each_field(reader, |name, reader| match name {
            "field" => put(&mut path, "query.sort.field", reader, Reader::text),
            "direction" => put(&mut word, "query.sort.direction", reader, Reader::text),
            _ => Ok(false),
        })?;
        let path = Path::parse(need(path, "query.sort.field")?)?;
        order.push((path, direction(word.unwrap_or("asc"))?));
    }
    Ok(order)
}

fn direction(word: &str) -> Result<Direction, Error> {
    let field = "query.sort.direction";
    Direction::of_word(word).ok_or(Error::Choice { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(limits: &Limits, build: impl FnOnce(&mut Writer)) -> Result<Query, Error> {
        let mut out = Writer::new();
        build(&mut out);
        Query::read("m", &mut Reader::new(&out.into_vec()), limits)
    }

    fn read(build: impl FnOnce(&mut Writer)) -> Result<Query, Error> {
        read_with(&Limits::default(), build)
    }

    fn path(name: &str) -> Path {
        Path::parse(name).unwrap()
    }

    fn whole() -> Query {
        Query {
            predicate: Predicate::parse("age > 18 and not (a contains x)", &Limits::default()).unwrap(),
            order: vec![(path("z"), Direction::Descending), (path("a.b"), Direction::Ascending)],
            offset: 7,
            limit: Some(50),
            fields: Some(vec![path("_key"), path("a")]),
            ..Query::of("m")
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(|out| whole().write(out)), Ok(whole()));
        assert_eq!(read(|out| Query::of("m").write(out)), Ok(Query::of("m")));
    }

    #[test]
    fn as_topgun_writes_it() {
        let query = read(|out| {
            out.map(8).text("where").map(1).text("age").map(1).text("$gt").f64(18.0);
            out.text("predicate")
                .map(2)
                .text("op")
                .text("isNull")
                .text("attribute")
                .text("gone");
            out.text("sort").map(2).text("z").text("desc").text("a").text("asc");
            out.text("limit")
                .f64(50.0)
                .text("cursor")
                .null()
                .text("groupBy")
                .list(0);
            out.text("aggregations").null().text("mapName").text("other");
        });
        let expected = Query {
            predicate: Predicate::parse("age > 18 and gone is null", &Limits::default()).unwrap(),
            order: vec![(path("z"), Direction::Descending), (path("a"), Direction::Ascending)],
            limit: Some(50),
            ..Query::of("m")
        };
        assert_eq!(query, Ok(expected));
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let unsupported = |what| Err(Error::Unsupported { what });
        assert_eq!(
            read(|out| _ = out.map(1).text("cursor").text("c")),
            unsupported("query.cursor")
        );
        let group = read(|out| _ = out.map(1).text("groupBy").list(1).text("a"));
        assert_eq!(group, unsupported("query.groupBy"));
        let sums = read(|out| _ = out.map(1).text("aggregations").list(1).map(0));
        assert_eq!(sums, unsupported("query.aggregations"));
        let up = read(|out| _ = out.map(1).text("sort").map(1).text("a").text("up"));
        assert_eq!(
            up,
            Err(Error::Choice {
                field: "query.sort.direction"
            })
        );
        assert!(read(|out| _ = out.map(1).text("limit").i64(-1)).is_err());
        assert!(read(|out| _ = out.map(1).text("offset").i64(-1)).is_err());
        assert!(read(|out| _ = out.map(1).text("limit").f64(0.5)).is_err());
        assert!(read(|out| _ = out.map(1).text("sort").text("a")).is_err());
        assert!(read(|out| _ = out.map(1).text("fields").list(1).text("")).is_err());
    }

    #[test]
    fn query_fields() {
        let limits = Limits {
            query_fields: 1,
            ..Limits::default()
        };
        let refused = Err(Error::TooManyFields { limit: 1 });
        let fields = |n: usize| {
            let names = |out: &mut Writer| (0..n).for_each(|_| _ = out.text("a"));
            read_with(&limits, |out| names(out.map(1).text("fields").list(n)))
        };
        assert!(fields(1).is_ok());
        assert_eq!(fields(2), refused);
        let two = |out: &mut Writer| {
            _ = out
                .map(1)
                .text("sort")
                .map(2)
                .text("a")
                .text("asc")
                .text("b")
                .text("asc")
        };
        assert_eq!(read_with(&limits, two), refused);
        assert_eq!(read_with(&limits, |out| whole().write(out)), refused);
    }
}
