#include "services/evaluation/clients/fact_source.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/dataset/row.h"
#include "common/rpc/channel.h"
#include "common/stats/proportion.h"
#include "common/status/status_macros.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"
#include "services/evaluation/clients/prices.h"
#include "services/evaluation/domain/coverage.h"

namespace crossover::evaluation {
namespace {

namespace registry_pb = ::crossover::registry::v1;
namespace curation_pb = ::crossover::curation::v1;

constexpr double kSecondsPerMonth = 30 * 86400;
// A label needs rows of its own from this share of traffic on (mission: 2 %).
constexpr double kLabelShare = 0.02;

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}
absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

TaskRecord ToRecord(const registry_pb::Task& task) {
  TaskRecord record{
      .name = task.name(), .owner = task.owner(), .retraining_plan = task.retraining_plan()};
  if (task.targets().has_score()) record.target_score = task.targets().score();
  if (task.targets().has_latency_p50())
    record.target_latency_p50 = Seconds(task.targets().latency_p50());
  record.has_output_contract =
      task.output_contract().shape_case() != registry_pb::OutputContract::SHAPE_NOT_SET;
  record.requests_per_day = task.volume().requests_per_day();
  record.tokens_per_month = task.volume().tokens_per_month();
  const registry_pb::DeclaredFacts& declared = task.declared();
  if (declared.has_developer_hours()) record.developer_hours = declared.developer_hours();
  if (declared.has_labelling_cost()) record.labelling_cost = ToUsd(declared.labelling_cost());
  if (declared.has_monthly_operations())
    record.monthly_operations = ToUsd(declared.monthly_operations());
  if (declared.has_monthly_spend()) record.monthly_spend = ToUsd(declared.monthly_spend());
  if (declared.has_prompt_unchanged_since())
    record.prompt_unchanged_since = ToTime(declared.prompt_unchanged_since());
  record.knowledge_changes = declared.knowledge_changes();
  record.deep_reasoning = declared.deep_reasoning();
  if (declared.urgency() != registry_pb::DeclaredFacts::URGENCY_UNSPECIFIED) {
    record.urgent = declared.urgency() != registry_pb::DeclaredFacts::LOW;
  }
  if (declared.has_horizon())
    record.horizon_months = Seconds(declared.horizon()) / kSecondsPerMonth;
  record.symptoms.assign(declared.symptoms().begin(), declared.symptoms().end());
  return record;
}

// Rows that a label-checking stage found wrong, of those it saw. Curation removed them; the rate
// says how careful the labels were.
std::optional<Fact<stats::Interval>> LabelErrors(const curation_pb::DatasetReport& report) {
  for (const curation_pb::FunnelStep& step : report.funnel()) {
    if (!absl::StrContains(step.stage(), "label") && !absl::StrContains(step.stage(), "conflict"))
      continue;
    int64_t dropped = 0;
    int64_t flagged = 0;
    for (const auto& [reason, rows] : step.dropped()) dropped += rows;
    for (const auto& [code, rows] : step.flagged()) flagged += rows;
    int64_t wrong = std::max(dropped, flagged);  // a dropped row was flagged before
    if (step.rows_in() > 0)
      return Fact<stats::Interval>{stats::Wilson(std::min(wrong, step.rows_in()), step.rows_in()),
                                   EvidenceSource::kMeasured};
  }
  return std::nullopt;
}

// Train rows of the rarest label that has its share of the held-out rows.
std::optional<Fact<int64_t>> ThinnestLabel(const curation_pb::DatasetReport& report) {
  std::map<std::string, int64_t> totals;
  for (const auto& label : report.label_counts()) {
    for (const auto& [split, rows] : label.rows()) totals[label.field()] += rows;
  }
  std::optional<Fact<int64_t>> thinnest;
  for (const auto& label : report.label_counts()) {
    int64_t all = 0;
    for (const auto& [split, rows] : label.rows()) all += rows;
    if (static_cast<double>(all) < kLabelShare * static_cast<double>(totals[label.field()]))
      continue;
    auto train = label.rows().find(std::string(dataset::kTrain));
    int64_t rows = train == label.rows().end() ? 0 : train->second;
    if (!thinnest || rows < thinnest->value)
      thinnest = Fact<int64_t>{rows, EvidenceSource::kMeasured};
  }
  return thinnest;
}

std::vector<std::string> InputTexts(const std::vector<dataset::Row>& rows) {
  std::vector<std::string> texts;
  for (const dataset::Row& row : rows)
    texts.push_back(dataset::LastUserText(dataset::InputOf(row)));
  return texts;
}

class HouseFacts final : public FactSource {
 public:
  HouseFacts(const Channels& channels, RowSource& rows)
      : tasks_(registry_pb::TaskService::NewStub(channels.registry)),
        projects_(registry_pb::ProjectService::NewStub(channels.registry)),
        prompts_(registry_pb::PromptService::NewStub(channels.registry)),
        datasets_(curation_pb::DatasetService::NewStub(channels.curation)),
        key_(channels.api_key),
        options_{.idempotent = true, .api_key = key_},
        rows_(rows) {}

  absl::StatusOr<TaskRecord> Task(const std::string& name) override {
    registry_pb::GetTaskRequest request;
    request.set_name(name);
    ASSIGN_OR_RETURN(
        registry_pb::Task task,
        rpc::Invoke(*tasks_, &registry_pb::TaskService::Stub::GetTask, request, options_));
    TaskRecord record = ToRecord(task);
    registry_pb::GetProjectRequest project_request;
    project_request.set_name(name.substr(0, name.find("/tasks/")));
    ASSIGN_OR_RETURN(registry_pb::Project project,
                     rpc::Invoke(*projects_, &registry_pb::ProjectService::Stub::GetProject,
                                 project_request, options_));
    const auto& prices = project.price_list();
    if (prices.has_serving()) record.serving = ToPrices(prices.serving(), kProjectPrices);
    if (prices.has_device_hour()) record.device_hour = ToUsd(prices.device_hour());
    if (prices.has_developer_hour()) record.developer_hour = ToUsd(prices.developer_hour());
    return record;
  }

  absl::StatusOr<PromptRecord> Prompt(const std::string& prompt_version) override {
    registry_pb::GetPromptVersionRequest request;
    request.set_name(prompt_version);
    ASSIGN_OR_RETURN(registry_pb::PromptVersion version,
                     rpc::Invoke(*prompts_, &registry_pb::PromptService::Stub::GetPromptVersion,
                                 request, options_));
    PromptRecord record{.examples = version.spec().few_shot().rows_size() +
                                    version.spec().few_shot().dynamic().k()};
    if (version.has_activate_time()) record.active_since = ToTime(version.activate_time());
    return record;
  }

  absl::StatusOr<std::optional<DataEvidence>> Data(const std::string& task,
                                                   const std::string& dataset_version) override {
    std::string name = dataset_version;
    if (name.empty()) {
      ASSIGN_OR_RETURN(name, CurrentVersion(task));
      if (name.empty()) return std::nullopt;
    }
    curation_pb::GetDatasetVersionRequest request;
    request.set_name(name);
    ASSIGN_OR_RETURN(curation_pb::DatasetVersion version,
                     rpc::Invoke(*datasets_, &curation_pb::DatasetService::Stub::GetDatasetVersion,
                                 request, options_));
    DataEvidence data;
    data.inputs = {version.name()};
    for (const auto& counts : version.counts()) {
      if (counts.split() == dataset::kTrain)
        data.clean_rows = {counts.rows(), EvidenceSource::kMeasured};
    }
    curation_pb::GetDatasetReportRequest report_request;
    report_request.set_name(name);
    ASSIGN_OR_RETURN(curation_pb::DatasetReport report,
                     rpc::Invoke(*datasets_, &curation_pb::DatasetService::Stub::GetDatasetReport,
                                 report_request, options_));
    data.label_errors = LabelErrors(report);
    data.thinnest_label_rows = ThinnestLabel(report);
    ASSIGN_OR_RETURN(data.coverage, Coverage(name));
    return data;
  }

 private:
  // Held-out rows stand in for recorded inputs until a route has recorded some.
  absl::StatusOr<std::optional<Fact<stats::Interval>>> Coverage(const std::string& version) {
    ASSIGN_OR_RETURN(std::vector<dataset::Row> train,
                     rows_.Rows(version, std::string(dataset::kTrain)));
    ASSIGN_OR_RETURN(std::vector<dataset::Row> test,
                     rows_.Rows(version, std::string(dataset::kTest)));
    std::optional<stats::Interval> coverage = MeasureCoverage(InputTexts(train), InputTexts(test));
    if (!coverage) return std::nullopt;
    return Fact<stats::Interval>{*coverage, EvidenceSource::kMeasured};
  }

  // The current version of the task's newest data set that has one; "" if there is none.
  absl::StatusOr<std::string> CurrentVersion(const std::string& task) {
    curation_pb::ListDatasetsRequest request;
    request.set_parent(task.substr(0, task.find("/tasks/")));
    std::optional<curation_pb::Dataset> newest;
    do {
      ASSIGN_OR_RETURN(const curation_pb::ListDatasetsResponse page,
                       rpc::Invoke(*datasets_, &curation_pb::DatasetService::Stub::ListDatasets,
                                   request, options_));
      for (const curation_pb::Dataset& dataset : page.datasets()) {
        if (dataset.task() != task || dataset.current_version().empty()) continue;
        if (!newest || ToTime(dataset.create_time()) > ToTime(newest->create_time()))
          newest = dataset;
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return newest ? newest->current_version() : std::string();
  }

  std::unique_ptr<registry_pb::TaskService::Stub> tasks_;
  std::unique_ptr<registry_pb::ProjectService::Stub> projects_;
  std::unique_ptr<registry_pb::PromptService::Stub> prompts_;
  std::unique_ptr<curation_pb::DatasetService::Stub> datasets_;
  std::string key_;  // before options_, which borrows it
  rpc::CallOptions options_;
  RowSource& rows_;
};

}  // namespace

std::unique_ptr<FactSource> NewFactSource(const Channels& channels, RowSource& rows) {
  return std::make_unique<HouseFacts>(channels, rows);
}

}  // namespace crossover::evaluation
