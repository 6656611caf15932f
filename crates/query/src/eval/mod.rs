//! Evaluation: how well retrieval and answers do on questions with known answers.
//!
//! The functions here measure a [`crate::Retriever`] or [`crate::Answerer`] whose catalog already holds the data set's
//! documents under their names ([`dataset::EvalDocument::name`]); whoever calls them ingests those into a temporary
//! folder first.

pub mod answers;
pub mod calibrate;
pub mod compare;
pub mod dataset;
pub mod fit;
pub mod gate;
pub mod grounding;
pub mod metrics;
pub mod pairs;
pub mod reading;
pub mod retrieval;

pub use answers::{AnswersReport, Metric, QuestionOutcome};
pub use calibrate::Calibration;
pub use compare::{AnswerReport, evaluate_pair};
pub use dataset::{EvalDocument, EvalQuestion, GoldSource, RetrievalSet};
pub use gate::{GateConfig, GateError, GateVerdict, MetricVerdict, gate};
pub use grounding::{GroundingReport, StatementOutcome};
pub use reading::{ReadingConfig, ReadingReport};
pub use retrieval::RetrievalReport;
