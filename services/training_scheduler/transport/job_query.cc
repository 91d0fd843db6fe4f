#include "services/training_scheduler/transport/job_query.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/json/digest.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"

namespace crossover::scheduler {
namespace {

constexpr char kLabels[] = "labels.";

absl::Status BadValue(const list::Condition& condition) {
  return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
               absl::StrCat("filter: ", condition.field, " has no value '", condition.value, "'"));
}

absl::Status Apply(const list::Condition& condition, JobFilter& filter) {
  const std::string& field = condition.field;
  if (field == "state") {
    const auto state = ParseJobState(condition.value);
    if (!state.has_value()) return BadValue(condition);
    filter.states.push_back(*state);
  } else if (field == "kind") {
    filter.kind = ParseJobKind(condition.value);
    if (!filter.kind.has_value()) return BadValue(condition);
  } else if (field == "task") {
    filter.task = condition.value;
  } else if (field == "base_model") {
    filter.base_model = condition.value;
  } else if (field == "dataset_version") {
    filter.dataset_version = condition.value;
  } else if (field == "queue") {
    filter.queue = condition.value;
  } else if (field == "outputs.adapter") {
    filter.adapter = condition.value;
  } else {
    filter.labels[field.substr(sizeof(kLabels) - 1)] = condition.value;
  }
  return absl::OkStatus();
}

std::string ListKey(const v1::ListJobsRequest& request) {
  return absl::StrCat(request.parent(), "\n", request.filter(), "\n", request.order_by());
}

}  // namespace

absl::StatusOr<std::optional<JobQuery>> ToQuery(const v1::ListJobsRequest& request) {
  JobQuery query;
  ASSIGN_OR_RETURN(query.project, ParseProject("parent", request.parent()));
  ASSIGN_OR_RETURN(query.limit, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(query.after, list::ParsePageToken(request.page_token(), ListKey(request)));
  ASSIGN_OR_RETURN(
      list::Filter filter,
      list::ParseFilter(request.filter(), {"state", "kind", "task", "base_model", "dataset_version",
                                           "queue", "outputs.adapter", "labels.*"}));
  RETURN_IF_ERROR(list::RequireEqualityOnly(filter));
  for (const list::Condition& condition : filter) {
    RETURN_IF_ERROR(Apply(condition, query.filter));
  }
  if (request.order_by() == "create_time") {
    query.oldest_first = true;
  } else if (!request.order_by().empty() && request.order_by() != "create_time desc") {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 absl::StrCat("order_by is '", request.order_by(),
                              "'; 'create_time desc' and 'create_time' are served"));
  }
  if (list::IsContradiction(filter)) return std::optional<JobQuery>();
  return std::optional(std::move(query));
}

std::string NextJobsToken(const v1::ListJobsRequest& request, const JobId& last) {
  return list::MakePageToken(last, ListKey(request));
}

std::string PayloadHash(const google::protobuf::Message& message) {
  // Maps serialise in any order unless asked.
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return DigestOf(bytes);
}

absl::StatusOr<RequestKey> ToRequestKey(const std::string& request_id,
                                        const google::protobuf::Message& content) {
  RETURN_IF_ERROR(CheckRequestId(request_id));
  if (request_id.empty()) return RequestKey{};
  return RequestKey{request_id, PayloadHash(content)};
}

}  // namespace crossover::scheduler
