//! HTTP endpoints for operators: `/metrics`, `/live`, `/ready`.
