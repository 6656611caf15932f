//! A JSON body taken apart field by field, so that an error names the field that it is about.

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::extract::json_within;
use crate::state::AppState;

/// Longest message of a parser that is passed on, in characters: it may quote the body.
const MESSAGE_CHARS: usize = 300;

/// The fields of a JSON body within the limit for JSON bodies; what is not taken is ignored.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl FromRequest<AppState> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let timeout = state.options().http.body_timeout();
        json_within(request, state.limits().json_body_bytes, timeout).await.map(Self)
    }
}

impl Fields {
    /// The field `name`; `None` where it is left out or null.
    ///
    /// # Errors
    /// 400 where it is no `T`.
    pub fn take<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>, ApiError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => parse(value, name).map(Some),
        }
    }

    /// The field `name`.
    ///
    /// # Errors
    /// 400 where it is left out, null or no `T`.
    pub fn need<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T, ApiError> {
        self.take(name)?.ok_or_else(|| {
            ApiError::bad_request("missing_required_parameter", format!("{name} is missing")).about(name)
        })
    }
}

/// `value`, which stands at `param` in the body, as a `T`.
///
/// # Errors
/// 400 where it is none.
pub fn parse<T: DeserializeOwned>(value: Value, param: &str) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|error| {
        let said: String = error.to_string().chars().take(MESSAGE_CHARS).collect();
        wrong(param, format!("{param}: {said}"))
    })
}

/// 400 for a value that cannot be.
pub fn wrong(param: &str, message: impl Into<String>) -> ApiError {
    ApiError::bad_request("invalid_value", message.into()).about(param.to_owned())
}

/// 400 for what OpenAI's API has and Lore has not.
pub fn unsupported(param: &str, message: impl Into<String>) -> ApiError {
    ApiError::bad_request("unsupported_parameter", message.into()).about(param.to_owned())
}
