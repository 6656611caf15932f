//! Qdrant on a server or cluster, over gRPC.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lore_core::{ChunkId, DocumentId, ScoredChunk};
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vector_output::Vector as Stored;
use qdrant_client::qdrant::vectors_output::VectorsOptions;
use qdrant_client::qdrant::{
    Condition as On, CountPointsBuilder, CreateAliasBuilder, CreateCollectionBuilder,
    CreateFieldIndexCollectionBuilder, DeletePointsBuilder, Distance, FieldType, Filter, GetPointsBuilder,
    PointId, PointStruct, QueryPointsBuilder, Range, ScrollPointsBuilder, SearchParamsBuilder,
    SetPayloadPointsBuilder, UpsertPointsBuilder, Value as Field, VectorParamsBuilder,
};
use qdrant_client::{Payload as Fields, Qdrant, QdrantError};
use rand::RngExt as _;

use super::{FIELDS, Point, PointPage, SEARCH_BEAM};
use crate::config::VectorBackend;
use crate::error::{IndexError, Result};
use crate::payload::{Condition, Labels};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest wait for a reply.
const REPLY: Duration = Duration::from_secs(30);
/// Tries of a write or of an administrative request.
const TRIES: u32 = 5;
/// Tries of a search: somebody is waiting.
const SEARCH_TRIES: u32 = 2;
/// Wait before the second try; it doubles with each try, and half of it is random.
const BACK_OFF: Duration = Duration::from_millis(200);
/// Longest wait between two tries.
const BACK_OFF_MOST: Duration = Duration::from_secs(5);
/// Points in one request.
const WRITE_POINTS: usize = 256;

/// Vectors in one collection of a server.
#[derive(Clone)]
pub struct ServerStore(Arc<Server>);

struct Server {
    client: Qdrant,
    url: String,
    alias: String,
    /// What the names of this data folder's collections start with.
    ours: String,
    collection: String,
    /// Whether the alias is known to point here.
    published: AtomicBool,
}

impl std::fmt::Debug for ServerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerStore")
            .field("url", &self.0.url)
            .field("collection", &self.0.collection)
            .finish_non_exhaustive()
    }
}

impl ServerStore {
    fn connect(backend: &VectorBackend, name: &str) -> Result<Self> {
        let VectorBackend::Server { url, api_key, collection, .. } = backend else {
            return Err(IndexError::Invalid("no server is configured".into()));
        };
        let client = Qdrant::from_url(url)
            .api_key(api_key.clone())
            .connect_timeout(CONNECT)
            .timeout(REPLY)
            .keep_alive_while_idle()
            .skip_compatibility_check()
            .build()
            .map_err(|e| {
                IndexError::Invalid(format!("the vector server's address `{url}` is not one: {e}"))
            })?;
        let alias = collection.clone();
        let owner = name.split('-').next().unwrap_or_default();
        Ok(Self(Arc::new(Server {
            client,
            url: url.clone(),
            ours: format!("{alias}-{owner}-"),
            collection: format!("{alias}-{name}"),
            alias,
            published: AtomicBool::new(false),
        })))
    }

    pub(super) async fn create(backend: &VectorBackend, name: &str, dimension: usize) -> Result<Self> {
        let store = Self::connect(backend, name)?;
        let VectorBackend::Server { shards, replicas, .. } = backend else {
            return Err(IndexError::Invalid("no server is configured".into()));
        };
        let collection = &store.0.collection;
        store.claim().await?;
        if !store.exists().await? {
            let vectors = VectorParamsBuilder::new(dimension as u64, Distance::Dot).build();
            let request = CreateCollectionBuilder::new(collection)
                .vectors_config(vectors)
                .shard_number((*shards).max(1))
                .replication_factor((*replicas).max(1))
                .on_disk_payload(true)
                .build();
            let created = store.retry(TRIES, || store.0.client.create_collection(request.clone())).await;
            // A try that timed out may have made it after all.
            if let Err(error) = created
                && !store.exists().await?
            {
                return Err(error);
            }
        }
        for (field, number) in FIELDS {
            let kind = if number { FieldType::Integer } else { FieldType::Keyword };
            let request = CreateFieldIndexCollectionBuilder::new(collection, field, kind).wait(true).build();
            store.retry(TRIES, || store.0.client.create_field_index(request.clone())).await?;
        }
        Ok(store)
    }

    pub(super) async fn open(backend: &VectorBackend, name: &str, dimension: usize) -> Result<Option<Self>> {
        let store = Self::connect(backend, name)?;
        if !store.exists().await? {
            tracing::warn!(
                collection = store.0.collection,
                "the server has lost the collection; it is built again"
            );
            return Ok(None);
        }
        // A collection made by a try that was interrupted may lack indexes; making them again changes nothing.
        Self::create(backend, name, dimension).await.map(Some)
    }

    pub(super) async fn reach(&self) -> Result<()> {
        let asked = self.retry(1, || self.0.client.health_check());
        match tokio::time::timeout(CONNECT, asked).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => {
                let reason = format!("no answer in {} s", CONNECT.as_secs());
                Err(IndexError::Unreachable { url: self.0.url.clone(), reason })
            }
        }
    }

    async fn exists(&self) -> Result<bool> {
        self.retry(TRIES, || self.0.client.collection_exists(&self.0.collection)).await
    }

    pub(super) async fn upsert(&self, points: Vec<Point>) -> Result<()> {
        let mut points = points.into_iter().peekable();
        while points.peek().is_some() {
            let mut batch = Vec::with_capacity(WRITE_POINTS);
            for point in points.by_ref().take(WRITE_POINTS) {
                batch.push(PointStruct::new(point.id.0.to_string(), point.vector, fields(&point.payload)?));
            }
            let request = UpsertPointsBuilder::new(&self.0.collection, batch).wait(true).build();
            self.retry(TRIES, || self.0.client.upsert_points(request.clone())).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_document(&self, document: DocumentId) -> Result<()> {
        self.delete(Filter::must([On::matches("document", document.to_string())])).await
    }

    pub(super) async fn delete_stale(&self, document: DocumentId, version: u32, chunks: u32) -> Result<()> {
        let other_version: On = Filter::must_not([On::matches("version", i64::from(version))]).into();
        let beyond = On::range("ordinal", Range { gte: Some(f64::from(chunks)), ..Range::default() });
        let either: On = Filter::should([other_version, beyond]).into();
        self.delete(Filter::must([On::matches("document", document.to_string()), either])).await
    }

    pub(super) async fn clear(&self) -> Result<()> {
        self.delete(Filter::default()).await
    }

    async fn delete(&self, filter: Filter) -> Result<()> {
        let request = DeletePointsBuilder::new(&self.0.collection).points(filter).wait(true).build();
        self.retry(TRIES, || self.0.client.delete_points(request.clone())).await?;
        Ok(())
    }

    pub(super) async fn set_labels(&self, document: DocumentId, labels: &Labels) -> Result<()> {
        let request = SetPayloadPointsBuilder::new(&self.0.collection, fields(labels)?)
            .points_selector(Filter::must([On::matches("document", document.to_string())]))
            .wait(true)
            .build();
        self.retry(TRIES, || self.0.client.set_payload(request.clone())).await?;
        Ok(())
    }

    pub(super) async fn search(
        &self,
        vector: Vec<f32>,
        conditions: &[Condition],
        limit: usize,
    ) -> Result<Vec<ScoredChunk>> {
        let beam = SEARCH_BEAM.max(limit) as u64;
        let mut request = QueryPointsBuilder::new(&self.0.collection)
            .query(vector)
            .limit(limit as u64)
            .params(SearchParamsBuilder::default().hnsw_ef(beam));
        if !conditions.is_empty() {
            request = request.filter(Filter::must(conditions.iter().map(on)));
        }
        let request = request.build();
        let found = self.retry(SEARCH_TRIES, || self.0.client.query(request.clone())).await?;
        Ok(found
            .result
            .into_iter()
            .filter_map(|point| Some(ScoredChunk { id: chunk(point.id)?, score: point.score }))
            .collect())
    }

    pub(super) async fn vectors(&self, ids: &[ChunkId]) -> Result<HashMap<ChunkId, Vec<f32>>> {
        let ids: Vec<PointId> = ids.iter().map(|id| id.0.to_string().into()).collect();
        let request =
            GetPointsBuilder::new(&self.0.collection, ids).with_vectors(true).with_payload(false).build();
        let found = self.retry(SEARCH_TRIES, || self.0.client.get_points(request.clone())).await?;
        let vector = |options| match options {
            VectorsOptions::Vector(output) => match output.into_vector() {
                Stored::Dense(dense) => Some(dense.data),
                _ => None,
            },
            VectorsOptions::Vectors(_) => None,
        };
        Ok(found
            .result
            .into_iter()
            .filter_map(|point| Some((chunk(point.id)?, point.vectors?.vectors_options.and_then(vector)?)))
            .collect())
    }

    pub(super) async fn page(&self, from: Option<ChunkId>, limit: usize) -> Result<PointPage> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut request = ScrollPointsBuilder::new(&self.0.collection).limit(limit).with_payload(true);
        if let Some(from) = from {
            request = request.offset(from.0.to_string());
        }
        let request = request.build();
        let page = self.retry(TRIES, || self.0.client.scroll(request.clone())).await?;
        let read = |payload: HashMap<String, Field>| {
            serde_json::from_value(serde_json::Value::from(Fields::from(payload))).ok()
        };
        let points =
            page.result.into_iter().filter_map(|point| Some((chunk(point.id)?, read(point.payload))));
        Ok(PointPage { points: points.collect(), next: chunk(page.next_page_offset) })
    }

    pub(super) async fn count(&self, of: Option<(DocumentId, u32)>) -> Result<u64> {
        let mut request = CountPointsBuilder::new(&self.0.collection).exact(true);
        if let Some((document, version)) = of {
            request = request.filter(Filter::must([
                On::matches("document", document.to_string()),
                On::matches("version", i64::from(version)),
            ]));
        }
        let request = request.build();
        let reply = self.retry(TRIES, || self.0.client.count(request.clone())).await?;
        Ok(reply.result.map_or(0, |result| result.count))
    }

    /// The collection that the alias points at.
    ///
    /// # Errors
    /// `Invalid` where it is another data folder's.
    async fn claim(&self) -> Result<Option<String>> {
        let Server { client, url, alias, ours, .. } = &*self.0;
        let aliases = self.retry(TRIES, || client.list_aliases()).await?.aliases;
        let target = aliases.into_iter().find(|a| a.alias_name == *alias).map(|a| a.collection_name);
        if let Some(foreign) = target.as_ref().filter(|name| !name.starts_with(ours)) {
            return Err(IndexError::Invalid(format!(
                "the alias `{alias}` on the vector server at {url} belongs to another data folder (collection \
                 `{foreign}`); give this one a name of its own with `index.vectors.server.collection`, or remove the \
                 alias from the server if that folder is gone"
            )));
        }
        Ok(target)
    }

    /// Points the alias at this collection, in one step.
    pub(super) async fn publish(&self) -> Result<()> {
        let Server { client, alias, collection, published, .. } = &*self.0;
        if published.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.claim().await?.as_ref() != Some(collection) {
            let request = CreateAliasBuilder::new(collection, alias).build();
            self.retry(TRIES, || client.create_alias(request.clone())).await?;
        }
        published.store(true, Ordering::Release);
        Ok(())
    }

    /// Removes the collections of this data folder but this one and `kept`.
    pub(super) async fn sweep(&self, kept: Option<&str>) -> Result<()> {
        let Server { client, alias, ours, collection, .. } = &*self.0;
        let kept = kept.map(|name| format!("{alias}-{name}"));
        for found in self.retry(TRIES, || client.list_collections()).await?.collections {
            let name = found.name;
            if name.starts_with(ours) && name != *collection && Some(&name) != kept.as_ref() {
                self.retry(TRIES, || client.delete_collection(&name)).await?;
                tracing::info!(collection = name, "a collection that is not used any more is removed");
            }
        }
        Ok(())
    }

    pub(super) async fn destroy(&self) -> Result<()> {
        self.retry(TRIES, || self.0.client.delete_collection(&self.0.collection)).await?;
        Ok(())
    }

    /// Sends a request until it is answered, with waits that grow, at most `tries` times. All requests here leave the
    /// same state when they are carried out twice.
    async fn retry<T, F>(&self, tries: u32, request: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, QdrantError>>,
    {
        let mut wait = BACK_OFF;
        for attempt in 1.. {
            let error = match request().await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let Some(reason) = passing(&error) else {
                return Err(IndexError::Vector(short(&error)));
            };
            if attempt >= tries {
                return Err(IndexError::Unreachable { url: self.0.url.clone(), reason });
            }
            tracing::warn!(
                url = self.0.url,
                attempt,
                reason,
                "the vector server did not answer; trying again"
            );
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(wait.mul_f64(jitter)).await;
            wait = (wait * 2).min(BACK_OFF_MOST);
        }
        Err(IndexError::Cancelled)
    }
}

/// The reason of a failure that may pass by itself.
fn passing(error: &QdrantError) -> Option<String> {
    let status = match error {
        QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => status,
        QdrantError::Io(error) => return Some(error.to_string()),
        _ => return None,
    };
    let message = status.message();
    if message.starts_with("Failed to connect") {
        // The client puts the whole chain of causes there; what the system said is its last message.
        let cause = message.rsplit("message: \"").next().and_then(|rest| rest.split('"').next());
        return Some(cause.filter(|c| *c != message).unwrap_or("no connection").to_lowercase());
    }
    // Named by their words, so that the transport's crate need not be depended on for one enum.
    let code = format!("{:?}", status.code());
    let passes = ["Unavailable", "DeadlineExceeded", "ResourceExhausted", "Aborted", "Cancelled", "Unknown"];
    passes.contains(&code.as_str()).then(|| message.to_owned())
}

fn short(error: &QdrantError) -> String {
    match error {
        QdrantError::ResponseError { status } => status.message().to_owned(),
        other => other.to_string(),
    }
}

fn on(condition: &Condition) -> On {
    match condition {
        Condition::Any(key, values) => On::matches(*key, values.clone()),
        Condition::Days(from, to) => {
            let number = |day: &i64| *day as f64;
            let range =
                Range { gte: from.as_ref().map(number), lte: to.as_ref().map(number), ..Range::default() };
            On::range("date", range)
        }
    }
}

fn fields(value: &impl serde::Serialize) -> Result<Fields> {
    let value = serde_json::to_value(value).map_err(|e| IndexError::Vector(e.to_string()))?;
    Fields::try_from(value).map_err(|e| IndexError::Vector(e.to_string()))
}

fn chunk(id: Option<PointId>) -> Option<ChunkId> {
    match id?.point_id_options? {
        PointIdOptions::Uuid(id) => id.parse().ok(),
        PointIdOptions::Num(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = serde_json::json!({"server": {"url": format!("http://{address}")}});
        let backend: VectorBackend = serde_json::from_value(config).unwrap();
        let store = ServerStore::connect(&backend, "test").unwrap();
        let refused = store.reach().await.unwrap_err();
        assert!(matches!(refused, IndexError::Unreachable { .. }), "{refused}");
        assert!(refused.to_string().contains(&address.to_string()), "{refused}");
    }
}
