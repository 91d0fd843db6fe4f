#include "services/evaluation/transport/listing.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {

absl::StatusOr<ListPage> ListDocuments(
    Store& store, const ListRequest& request,
    const std::function<std::optional<std::string>(const Document& document,
                                                   const std::string& field)>& value_of) {
  if (!request.order_by.empty() && request.order_by != "create_time desc") {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 "order_by: only \"create_time desc\" is served");
  }
  ASSIGN_OR_RETURN(int size, list::PageSize(request.page_size));
  ASSIGN_OR_RETURN(list::Filter filter, list::ParseFilter(request.filter, request.filter_fields));
  std::string identity =
      absl::StrCat(request.query.kind, "|", request.query.project, "|", request.query.task, "|",
                   request.query.parent, "|", request.filter);
  ASSIGN_OR_RETURN(std::string position, list::ParsePageToken(request.page_token, identity));
  DocumentQuery query = request.query;
  if (!position.empty() && !absl::SimpleAtoi(position, &query.before)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token is damaged");
  }
  if (auto state = list::EqualTo(filter, "state")) query.state = *state;
  query.limit = size + 1;
  ListPage page;
  while (true) {
    ASSIGN_OR_RETURN(std::vector<Document> documents, store.List(query));
    for (Document& document : documents) {
      query.before = document.sequence;
      if (!list::Matches(filter,
                         [&](const std::string& field) { return value_of(document, field); }))
        continue;
      if (page.documents.size() == static_cast<size_t>(size)) {
        page.next_page_token =
            list::MakePageToken(absl::StrCat(page.documents.back().sequence), identity);
        return page;
      }
      page.documents.push_back(std::move(document));
    }
    if (documents.size() < static_cast<size_t>(query.limit)) return page;
  }
}

std::optional<std::string> CommonField(const Document& document,
                                       const std::map<std::string, std::string>& labels,
                                       const std::string& field) {
  if (field == "state") return document.state;
  if (field == "task") return document.task;
  if (field.rfind("labels.", 0) == 0) {
    auto found = labels.find(field.substr(7));
    if (found != labels.end()) return found->second;
  }
  return std::nullopt;
}

}  // namespace crossover::evaluation
