// Create, Get, List, Update and Delete of one type of document: the same for all of them.
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
#include "services/registry/domain/registry_store.h"
#include "services/registry/domain/store_errors.h"
#include "services/registry/transport/document.h"
#include "services/registry/transport/names.h"

namespace crossover::registry {

// Records of a list that pass a filter, over as many store pages as it takes to fill one answer.
template <typename Record>
struct Listed {
  std::vector<Record> records;
  std::string next_page_token;
};

struct ListRequest {
  std::string scope;  // what is listed: part of the token's hash
  int64_t page_size = 0;
  std::string page_token;
  std::string filter;
  std::string order_by;
};

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
  const std::string query = absl::StrCat(request.scope, "|", request.filter);
  PageQuery page{.limit = size + 1};
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

// The value of a filter's field: a top-level text, enum or label of the message. Absent when empty.
std::optional<std::string> FieldOf(const google::protobuf::Message& proto,
                                   const std::string& field);

// Thread-safe. Borrows the store.
template <typename Proto>
class Documents {
 public:
  Documents(RegistryStore& store, Kind kind, std::string first_state,
            std::vector<std::string> filter_fields)
      : store_(store),
        kind_(kind),
        first_state_(std::move(first_state)),
        fields_(std::move(filter_fields)) {}

  absl::StatusOr<Proto> Create(const ResourceKey& key, const Proto& given,
                               const RequestKey& request) {
    RETURN_IF_ERROR(CheckLabels(given.labels()));
    Proto proto = given;
    ClearOutputFields(proto);
    Resource resource{.key = key, .state = first_state_};
    ASSIGN_OR_RETURN(resource.document, DocumentOf(proto));
    ASSIGN_OR_RETURN(resource, store_.Create(resource, request));
    return Read(resource);
  }

  absl::StatusOr<Proto> Get(const ResourceKey& key) {
    ASSIGN_OR_RETURN(const Resource resource, store_.Get(key));
    return Read(resource);
  }

  absl::StatusOr<Listed<Proto>> List(const std::string& project, const std::string& parent,
                                     ListRequest request) {
    request.scope = absl::StrCat(std::string(Name(kind_)), "|", project, "|", parent);
    return ListFiltered<Proto>(
        request, fields_,
        [&](const PageQuery& query) -> absl::StatusOr<Page<Proto>> {
          ASSIGN_OR_RETURN(Page<Resource> fetched, store_.List(kind_, project, parent, query));
          Page<Proto> page;
          page.positions = std::move(fetched.positions);
          for (const Resource& resource : fetched.records) {
            ASSIGN_OR_RETURN(Proto proto, Read(resource));
            page.records.push_back(std::move(proto));
          }
          return page;
        },
        [](const Proto& proto, const std::string& field) { return FieldOf(proto, field); });
  }

  // `check` sees the message with its new values before it is stored.
  absl::StatusOr<Proto> Update(const ResourceKey& key, const Proto& given,
                               const google::protobuf::FieldMask& mask,
                               const std::function<absl::Status(const Proto&)>& check = {}) {
    RETURN_IF_ERROR(CheckLabels(given.labels()));
    ASSIGN_OR_RETURN(Resource resource, store_.Get(key));
    ASSIGN_OR_RETURN(Proto proto, Read(resource));
    ASSIGN_OR_RETURN(const int64_t revision, RevisionFromEtag(given.etag()));
    if (!given.etag().empty()) resource.revision = revision;
    RETURN_IF_ERROR(ApplyMask(given, mask, proto));
    if (check) RETURN_IF_ERROR(check(proto));
    ASSIGN_OR_RETURN(resource.document, DocumentOf(proto));
    ASSIGN_OR_RETURN(resource, store_.Update(resource));
    return Read(resource);
  }

  // Sets the state, and what only the server sets, of the stored message.
  absl::StatusOr<Proto> Move(const ResourceKey& key, const std::string& state,
                             const std::string& reason,
                             const std::function<void(Proto&)>& change = {}) {
    ASSIGN_OR_RETURN(Resource resource, store_.Get(key));
    ASSIGN_OR_RETURN(Proto proto, Read(resource));
    if (change) change(proto);
    resource.state = state;
    resource.state_reason = reason;
    ASSIGN_OR_RETURN(resource.document, DocumentOf(proto));
    ASSIGN_OR_RETURN(resource, store_.Update(resource));
    return Read(resource);
  }

  absl::Status Delete(const ResourceKey& key, const std::string& etag) {
    if (!etag.empty()) {
      ASSIGN_OR_RETURN(const Resource resource, store_.Get(key));
      ASSIGN_OR_RETURN(const int64_t revision, RevisionFromEtag(etag));
      if (revision != resource.revision) return EtagMismatch(Describe(key));
    }
    return store_.Delete(key);
  }

 private:
  static absl::StatusOr<Proto> Read(const Resource& resource) {
    Proto proto;
    RETURN_IF_ERROR(ReadDocument(resource, NameOf(resource.key), proto));
    return proto;
  }

  RegistryStore& store_;
  const Kind kind_;
  const std::string first_state_;
  const std::vector<std::string> fields_;
};

}  // namespace crossover::registry
