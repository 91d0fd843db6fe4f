// Pages of documents: keyset by creation order, newest first, filters applied to what the documents
// say.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

struct ListRequest {
  DocumentQuery query;  // kind, project, task, parent
  int page_size = 0;
  std::string page_token;
  std::string filter;
  std::string order_by;  // "" or "create_time desc"
  std::vector<std::string> filter_fields;
};

struct ListPage {
  std::vector<Document> documents;
  std::string next_page_token;
};

// `value_of` gives what a document says of a filter field.
absl::StatusOr<ListPage> ListDocuments(
    Store& store, const ListRequest& request,
    const std::function<std::optional<std::string>(const Document& document,
                                                   const std::string& field)>& value_of);

// Labels and the fields every document has, by name; nullopt for others.
std::optional<std::string> CommonField(const Document& document,
                                       const std::map<std::string, std::string>& labels,
                                       const std::string& field);

}  // namespace crossover::evaluation
