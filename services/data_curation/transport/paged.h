// Pages of records that pass a filter. The store gives pages by position; the filter is applied
// here, over as many store pages as it takes to fill one answer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

struct ListRequest {
  std::string project;
  std::string parent;
  int64_t page_size = 0;
  std::string page_token;
  std::string filter;
  std::string order_by;
};

template <typename Record>
struct Listed {
  std::vector<Record> records;
  std::string next_page_token;
};

// `fields` may be filtered by; `value_of` gives a field of a record.
template <typename Record>
absl::StatusOr<Listed<Record>> ListFiltered(
    const ListRequest& request, const std::vector<std::string>& fields,
    const std::function<absl::StatusOr<Page<Record>>(const PageQuery&)>& fetch,
    const std::function<std::optional<std::string>(const Record&, const std::string&)>& value_of) {
  if (!request.order_by.empty() && request.order_by != "create_time desc") {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 "order_by: only `create_time desc` is served");
  }
  ASSIGN_OR_RETURN(const int size, list::PageSize(request.page_size));
  ASSIGN_OR_RETURN(const list::Filter filter, list::ParseFilter(request.filter, fields));
  const std::string query = absl::StrCat(request.project, "|", request.parent, "|", request.filter);
  PageQuery page{.project = request.project, .parent = request.parent, .limit = size + 1};
  ASSIGN_OR_RETURN(page.after, list::ParsePageToken(request.page_token, query));
  Listed<Record> listed;
  std::string last;
  while (true) {
    ASSIGN_OR_RETURN(Page<Record> fetched, fetch(page));
    for (size_t i = 0; i < fetched.records.size(); ++i) {
      const Record& record = fetched.records[i];
      if (!list::Matches(filter, [&](const std::string& field) { return value_of(record, field); }))
        continue;
      if (static_cast<int>(listed.records.size()) == size) {
        listed.next_page_token = list::MakePageToken(last, query);
        return listed;
      }
      last = fetched.positions[i];
      listed.records.push_back(record);
    }
    if (static_cast<int>(fetched.records.size()) < page.limit) return listed;
    page.after = fetched.positions.back();
  }
}

// `labels.team` of a record's labels.
inline std::optional<std::string> LabelOf(const Labels& labels, const std::string& field) {
  if (field.rfind("labels.", 0) != 0) return std::nullopt;
  const auto label = labels.find(field.substr(7));
  return label == labels.end() ? std::nullopt : std::optional(label->second);
}

}  // namespace crossover::curation
