// Typed access to the store's documents.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/evaluation/domain/json_codec.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

inline Document ToDocument(const Run& run) {
  return {.kind = kRunKind,
          .name = run.name(),
          .project = run.project,
          .task = run.task,
          .state = Name(run.state),
          .body = Encode(run),
          .version = run.version};
}
inline Document ToDocument(const Suite& suite) {
  return {.kind = kSuiteKind,
          .name = suite.name,
          .project = suite.project,
          .task = suite.task,
          .parent = suite.slug,
          .state = "FROZEN",
          .body = Encode(suite)};
}
inline Document ToDocument(const Ladder& ladder) {
  return {.kind = kLadderKind,
          .name = ladder.name(),
          .project = ladder.project,
          .task = ladder.task,
          .state = Name(ladder.state),
          .body = Encode(ladder),
          .version = ladder.version};
}
inline Document ToDocument(const Decision& decision) {
  return {.kind = kDecisionKind,
          .name = decision.name(),
          .project = decision.task.substr(0, decision.task.find("/tasks/")),
          .task = decision.task,
          .state = Name(decision.state),
          .body = Encode(decision),
          .version = decision.version};
}

// T's document, with the version it has in the store.
template <typename T>
absl::StatusOr<T> FromDocument(const Document& document) {
  auto value = Decode<T>(document.body, document.kind.c_str());
  if (!value.ok()) return value.status();
  if constexpr (requires { value->version; }) value->version = document.version;
  return value;
}

template <typename T>
absl::StatusOr<std::vector<T>> FromDocuments(const std::vector<Document>& documents) {
  std::vector<T> values;
  for (const Document& document : documents) {
    auto value = FromDocument<T>(document);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

}  // namespace crossover::evaluation
