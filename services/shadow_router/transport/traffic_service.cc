#include "services/shadow_router/transport/traffic_service.h"

#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/names.h"

namespace crossover::router {
namespace {

constexpr char kExperimentPattern[] = "projects/*/experiments/*";
constexpr int kMaxBatch = 1'000;

absl::Status BadFilter(const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FILTER_INVALID", .metadata = {}, .violations = {{"filter", message}}});
}

// nullopt: nothing can match.
absl::StatusOr<std::optional<PairFilter>> PairFilterOf(const v1::ListPairsRequest& request) {
  PairFilter result{.experiment = request.parent()};
  ASSIGN_OR_RETURN(
      const list::Filter filter,
      list::ParseFilter(request.filter(), {"comparison", "validity", "comparisons.equal"}));
  RETURN_IF_ERROR(list::RequireEqualityOnly(filter));
  if (const auto comparison = list::EqualTo(filter, "comparison")) {
    int number = 0;
    if (!absl::SimpleAtoi(*comparison, &number)) return BadFilter("comparison must be a number");
    result.comparison = number;
  }
  if (const auto equal = list::EqualTo(filter, "comparisons.equal")) {
    if (*equal != "true" && *equal != "false")
      return BadFilter("comparisons.equal must be true or false");
    result.agree = *equal == "true";
  }
  if (const auto validity = list::EqualTo(filter, "validity")) {
    if (*validity != "VALID") return BadFilter("validity can be filtered by VALID only");
    result.only_valid = true;
  }
  if (list::IsContradiction(filter)) return std::optional<PairFilter>();
  return std::optional(std::move(result));
}

}  // namespace

grpc::ServerUnaryReactor* TrafficService::ListPairs(grpc::CallbackServerContext* context,
                                                    const v1::ListPairsRequest* request,
                                                    v1::ListPairsResponse* response) {
  return handler_.Unary(context, "ListPairs", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), kExperimentPattern, "parent").status());
    ASSIGN_OR_RETURN(const std::optional<PairFilter> filter, PairFilterOf(*request));
    RETURN_IF_ERROR(store_.GetExperiment(request->parent()).status());
    const std::string query = absl::StrCat("pairs ", request->parent(), " ", request->filter());
    ASSIGN_OR_RETURN(const int size, list::PageSize(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, list::ParsePageToken(request->page_token(), query));
    if (!filter.has_value()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto listed, store_.ListPairs(*filter, {.size = size, .token = after}));
    for (const Pair& pair : listed.items) *response->add_pairs() = ToProto(pair);
    if (!listed.next_token.empty())
      response->set_next_page_token(list::MakePageToken(listed.next_token, query));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrafficService::GetPair(grpc::CallbackServerContext* context,
                                                  const v1::GetPairRequest* request,
                                                  v1::Pair* response) {
  return handler_.Unary(context, "GetPair", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->name(), "projects/*/experiments/*/pairs/*").status());
    ASSIGN_OR_RETURN(const Pair pair, store_.GetPair(LastSegment(request->name())));
    // The id alone would open every project's pairs.
    if (request->name() != absl::StrCat(pair.experiment, "/pairs/", pair.id)) {
      return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                   absl::StrCat("there is no ", request->name()));
    }
    *response = ToProto(pair);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrafficService::ListLedgerEntries(
    grpc::CallbackServerContext* context, const v1::ListLedgerEntriesRequest* request,
    v1::ListLedgerEntriesResponse* response) {
  return handler_.Unary(context, "ListLedgerEntries", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), kExperimentPattern, "parent").status());
    const std::string query = absl::StrCat("ledger ", request->parent(), " ", request->filter());
    ASSIGN_OR_RETURN(const int size, list::PageSize(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, list::ParsePageToken(request->page_token(), query));
    size_t begin = 0;
    if (!after.empty() && !absl::SimpleAtoi(after, &begin)) begin = 0;
    // Minutes of one experiment, newest first; rows are only added at the front, so positions count
    // from the oldest.
    ASSIGN_OR_RETURN(auto rows, store_.ListLedger(request->parent(), std::nullopt));
    const size_t end = after.empty() ? rows.size() : std::min(begin, rows.size());
    const size_t first = end > static_cast<size_t>(size) ? end - static_cast<size_t>(size) : 0;
    for (size_t i = end; i > first; --i) *response->add_entries() = ToProto(rows[i - 1]);
    if (first > 0) response->set_next_page_token(list::MakePageToken(absl::StrCat(first), query));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrafficService::GetLedger(grpc::CallbackServerContext* context,
                                                    const v1::GetLedgerRequest* request,
                                                    v1::GetLedgerResponse* response) {
  return handler_.Unary(context, "GetLedger", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->name(), kExperimentPattern).status());
    ASSIGN_OR_RETURN(const Experiment experiment, store_.GetExperiment(request->name()));
    LedgerCounts sum;
    const int last = experiment.comparison;
    const int from = request->comparison() == 0 ? last : std::max(request->comparison(), 0);
    const int to = request->comparison() < 0 ? last : from;
    for (int comparison = from; comparison <= to; ++comparison) {
      ASSIGN_OR_RETURN(const LedgerCounts one, store_.SumLedger(request->name(), comparison));
      sum.Add(one);
    }
    *response->mutable_total() = ToProto(sum);
    response->mutable_total()->set_experiment(request->name());
    response->mutable_total()->set_comparison(from == to ? from : 0);
    response->set_balanced(sum.AddsUp());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrafficService::ListRecordings(grpc::CallbackServerContext* context,
                                                         const v1::ListRecordingsRequest* request,
                                                         v1::ListRecordingsResponse* response) {
  return handler_.Unary(context, "ListRecordings", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
    ASSIGN_OR_RETURN(const list::Filter filter, list::ParseFilter(request->filter(), {"route"}));
    RETURN_IF_ERROR(list::RequireEqualityOnly(filter));
    const std::string query =
        absl::StrCat("recordings ", request->parent(), " ", request->filter());
    ASSIGN_OR_RETURN(const int size, list::PageSize(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, list::ParsePageToken(request->page_token(), query));
    if (list::IsContradiction(filter)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto listed,
                     store_.ListRecordings(list::EqualTo(filter, "route").value_or(""),
                                           {.size = size, .token = after}));
    for (const Recording& recording : listed.items) {
      if (ProjectOf(recording.route) == request->parent()) {
        *response->add_recordings() = ToProto(recording, request->parent());
      }
    }
    if (!listed.next_token.empty())
      response->set_next_page_token(list::MakePageToken(listed.next_token, query));
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Feedback> TrafficService::Record(const std::string& project,
                                                    const v1::Feedback& proto,
                                                    const std::string& id) {
  ASSIGN_OR_RETURN(Feedback feedback, FromProto(proto));
  feedback.project = project;
  feedback.id = id;
  feedback.time = clock_.Now();
  ASSIGN_OR_RETURN(const bool has_pair, flusher_.Record(feedback));
  v1::Feedback stored = ToProto(feedback);
  if (!has_pair) stored.set_warning(NoPairYet(feedback.inference_id));
  return stored;
}

grpc::ServerUnaryReactor* TrafficService::CreateFeedback(grpc::CallbackServerContext* context,
                                                         const v1::CreateFeedbackRequest* request,
                                                         v1::Feedback* response) {
  return handler_.Unary(context, "CreateFeedback", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
    RETURN_IF_ERROR(CheckRequestId(request->request_id()));
    // The request_id is the feedback's id: storing it again changes nothing.
    const std::string id = request->request_id().empty() ? ids_.NextId() : request->request_id();
    ASSIGN_OR_RETURN(*response, Record(request->parent(), request->feedback(), id));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TrafficService::BatchCreateFeedback(
    grpc::CallbackServerContext* context, const v1::BatchCreateFeedbackRequest* request,
    v1::BatchCreateFeedbackResponse* response) {
  return handler_.Unary(
      context, "BatchCreateFeedback", [=, this](const rpc::Call&) -> absl::Status {
        RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
        RETURN_IF_ERROR(CheckRequestId(request->request_id()));
        if (request->feedback_size() > kMaxBatch) {
          return Error(absl::StatusCode::kInvalidArgument, "FEEDBACK_INVALID",
                       "at most 1,000 at once");
        }
        // All or none: everything is checked before the first is stored.
        for (int i = 0; i < request->feedback_size(); ++i) {
          const absl::Status status = FromProto(request->feedback(i)).status();
          if (!status.ok()) return WithContext(status, absl::StrCat("feedback[", i, "]"));
        }
        for (int i = 0; i < request->feedback_size(); ++i) {
          const std::string id = request->request_id().empty()
                                     ? ids_.NextId()
                                     : absl::StrCat(request->request_id(), "/", i);
          ASSIGN_OR_RETURN(*response->add_feedback(),
                           Record(request->parent(), request->feedback(i), id));
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* TrafficService::ListFeedback(grpc::CallbackServerContext* context,
                                                       const v1::ListFeedbackRequest* request,
                                                       v1::ListFeedbackResponse* response) {
  return handler_.Unary(context, "ListFeedback", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
    ASSIGN_OR_RETURN(const list::Filter filter,
                     list::ParseFilter(request->filter(), {"inference_id"}));
    const auto inference_id = list::EqualTo(filter, "inference_id");
    if (!inference_id)
      return BadFilter("feedback is listed by answer: filter by inference_id = \"…\"");
    const std::string query = absl::StrCat("feedback ", request->parent(), " ", request->filter());
    ASSIGN_OR_RETURN(const int size, list::PageSize(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, list::ParsePageToken(request->page_token(), query));
    if (list::IsContradiction(filter)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto listed,
                     store_.ListFeedback(*inference_id, {.size = size, .token = after}));
    for (const Feedback& feedback : listed.items) {
      if (feedback.project == request->parent()) *response->add_feedback() = ToProto(feedback);
    }
    if (!listed.next_token.empty())
      response->set_next_page_token(list::MakePageToken(listed.next_token, query));
    return absl::OkStatus();
  });
}

namespace {

constexpr char kDriftInstead[] =
    "compare `crossover_router_quality_difference` and the rates of bad events over time";

}  // namespace

grpc::ServerUnaryReactor* TrafficService::Unserved(grpc::CallbackServerContext* context,
                                                   const char* method, const char* instead) {
  return handler_.Unary(context, method, [method, instead](const rpc::Call&) {
    return NotImplemented(method, instead);
  });
}

grpc::ServerUnaryReactor* TrafficService::GetRecording(grpc::CallbackServerContext* context,
                                                       const v1::GetRecordingRequest*,
                                                       v1::Recording*) {
  return Unserved(context, "GetRecording", "use ListRecordings");
}

grpc::ServerUnaryReactor* TrafficService::DeleteRecording(grpc::CallbackServerContext* context,
                                                          const v1::DeleteRecordingRequest*,
                                                          google::protobuf::Empty*) {
  return Unserved(context, "DeleteRecording",
                  "set the task's data_policy.record to OFF to keep no more of them");
}

grpc::ServerUnaryReactor* TrafficService::CreateDriftMonitor(grpc::CallbackServerContext* context,
                                                             const v1::CreateDriftMonitorRequest*,
                                                             v1::DriftMonitor*) {
  return Unserved(context, "CreateDriftMonitor", kDriftInstead);
}

grpc::ServerUnaryReactor* TrafficService::GetDriftMonitor(grpc::CallbackServerContext* context,
                                                          const v1::GetDriftMonitorRequest*,
                                                          v1::DriftMonitor*) {
  return Unserved(context, "GetDriftMonitor", kDriftInstead);
}

grpc::ServerUnaryReactor* TrafficService::ListDriftMonitors(grpc::CallbackServerContext* context,
                                                            const v1::ListDriftMonitorsRequest*,
                                                            v1::ListDriftMonitorsResponse*) {
  return Unserved(context, "ListDriftMonitors", kDriftInstead);
}

grpc::ServerUnaryReactor* TrafficService::UpdateDriftMonitor(grpc::CallbackServerContext* context,
                                                             const v1::UpdateDriftMonitorRequest*,
                                                             v1::DriftMonitor*) {
  return Unserved(context, "UpdateDriftMonitor", kDriftInstead);
}

grpc::ServerUnaryReactor* TrafficService::DeleteDriftMonitor(grpc::CallbackServerContext* context,
                                                             const v1::DeleteDriftMonitorRequest*,
                                                             google::protobuf::Empty*) {
  return Unserved(context, "DeleteDriftMonitor", kDriftInstead);
}

grpc::ServerUnaryReactor* TrafficService::ListAuditEntries(grpc::CallbackServerContext* context,
                                                           const v1::ListAuditEntriesRequest*,
                                                           v1::ListAuditEntriesResponse*) {
  return Unserved(context, "ListAuditEntries",
                  "ListTransitions names who moved an experiment, the log who called what");
}

}  // namespace crossover::router
