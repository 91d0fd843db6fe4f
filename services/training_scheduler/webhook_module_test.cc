// Webhooks over a real scheduler, a real database and a real receiver.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "absl/synchronization/mutex.h"
#include "common/http/server.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/webhook_service.grpc.pb.h"
#include "services/training_scheduler/domain/webhook_signature.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Keeps what is posted to /hook; answers the statuses it is given, then 204.
class Receiver {
 public:
  Receiver() {
    server_.Handle("POST", "/hook", [this](const http::Request& request) {
      absl::MutexLock lock(&mutex_);
      received_.push_back(request);
      int status = 204;
      if (!statuses_.empty()) {
        status = statuses_.front();
        statuses_.pop_front();
      }
      return http::Response::Text(status, "thanks");
    });
    EXPECT_OK(server_.Start());
  }

  void AnswerNext(int status) {
    absl::MutexLock lock(&mutex_);
    statuses_.push_back(status);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()) + "/hook"; }

  // The first `count` posts; fewer if they do not come within 20 s.
  std::vector<http::Request> Wait(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto arrived = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return received_.size() >= count;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&arrived), absl::Seconds(20));
    return received_;
  }

 private:
  FakeLogger logger_;
  absl::Mutex mutex_;
  std::vector<http::Request> received_ ABSL_GUARDED_BY(mutex_);
  std::deque<int> statuses_ ABSL_GUARDED_BY(mutex_);
  http::Server server_{{}, logger_};
};

class WebhookModuleTest : public ::testing::Test {
 protected:
  explicit WebhookModuleTest(bool private_webhooks = true)
      : fixture_({.private_webhooks = private_webhooks, .package_folders = {}}) {
    fixture_.AddBase("smollm2", "sha256:base");
    fixture_.curation().Add(kDataset, "sha256:data", 2000, 250);
  }

  absl::StatusOr<v1::WebhookEndpoint> AddEndpoint(const std::string& url) {
    v1::CreateWebhookEndpointRequest request;
    request.set_parent("projects/default");
    request.mutable_webhook_endpoint()->set_url(url);
    return rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::CreateWebhookEndpoint, request);
  }

  v1::Job EndAJob() {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(v1::Job::SFT);
    request.mutable_job()->set_base_model("smollm2");
    request.mutable_job()->set_dataset_version(kDataset);
    absl::StatusOr<v1::Job> job = rpc::Invoke(*jobs_, &v1::JobService::Stub::CreateJob, request);
    EXPECT_OK(job);
    v1::CancelJobRequest cancel;
    cancel.set_name(job->name());
    EXPECT_OK(rpc::Invoke(*jobs_, &v1::JobService::Stub::CancelJob, cancel));
    return *job;
  }

  // The deliveries once the first has been tried and no attempt is under way; as they are after 20
  // s.
  std::vector<v1::WebhookDelivery> Tried() {
    v1::ListWebhookDeliveriesRequest request;
    request.set_parent("projects/default/webhookEndpoints/-");
    const absl::Duration give_up = SystemClock().SteadyNow() + absl::Seconds(20);
    while (true) {
      absl::StatusOr<v1::ListWebhookDeliveriesResponse> listed =
          rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::ListWebhookDeliveries, request);
      EXPECT_OK(listed);
      const auto& all = listed->webhook_deliveries();
      const bool tried = !all.empty() && (all[0].state() != v1::WebhookDelivery::PENDING ||
                                          !all[0].response().empty());
      if (tried || SystemClock().SteadyNow() > give_up) return {all.begin(), all.end()};
      SystemClock().SleepFor(absl::Milliseconds(20));
    }
  }

  static constexpr char kDataset[] = "projects/default/datasets/clauses/versions/sha256:1";
  SchedulerFixture fixture_;
  std::unique_ptr<v1::JobService::Stub> jobs_ = v1::JobService::NewStub(fixture_.channel());
  std::unique_ptr<v1::WebhookService::Stub> webhooks_ =
      v1::WebhookService::NewStub(fixture_.channel());
};

class GuardedWebhookModuleTest : public WebhookModuleTest {
 protected:
  GuardedWebhookModuleTest() : WebhookModuleTest(false) {}
};

TEST_F(WebhookModuleTest, AJobsEndReachesTheReceiverAndIsRedeliveredUnderTheSameId) {
  Receiver receiver;
  receiver.AnswerNext(500);
  ASSERT_OK_AND_ASSIGN(v1::WebhookEndpoint endpoint, AddEndpoint(receiver.url()));
  EXPECT_THAT(endpoint.secret(), StartsWith("whsec_"));
  const v1::Job job = EndAJob();
  ASSERT_THAT(receiver.Wait(1), SizeIs(1));
  std::vector<v1::WebhookDelivery> deliveries = Tried();
  ASSERT_THAT(deliveries, SizeIs(1));
  EXPECT_EQ(deliveries[0].state(), v1::WebhookDelivery::PENDING);
  EXPECT_EQ(deliveries[0].response_status(), 500);
  EXPECT_EQ(deliveries[0].job(), job.name());

  v1::RedeliverWebhookRequest redeliver;
  redeliver.set_name(deliveries[0].name());
  ASSERT_OK(rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::RedeliverWebhook, redeliver));
  const std::vector<http::Request> received = receiver.Wait(2);
  ASSERT_THAT(received, SizeIs(2));
  for (const http::Request& request : received) {
    const std::string id(request.headers.Get("webhook-id").value_or(""));
    EXPECT_EQ(deliveries[0].name(), endpoint.name() + "/deliveries/" + id);
    const std::string time(request.headers.Get("webhook-timestamp").value_or("0"));
    EXPECT_THAT(WebhookSignature(endpoint.secret(), id, std::stoll(time), request.body),
                IsOkAndHolds(std::string(request.headers.Get("webhook-signature").value_or(""))));
    EXPECT_EQ(request.headers.Get("content-type"), "application/json");
  }
  EXPECT_EQ(received[0].body, received[1].body);
}

TEST_F(WebhookModuleTest, EndpointsAreReadChangedAndDeletedWithoutTheirSecret) {
  ASSERT_OK_AND_ASSIGN(v1::WebhookEndpoint endpoint, AddEndpoint("https://example.com/hook"));
  v1::GetWebhookEndpointRequest get;
  get.set_name(endpoint.name());
  ASSERT_OK_AND_ASSIGN(v1::WebhookEndpoint read,
                       rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::GetWebhookEndpoint, get));
  EXPECT_EQ(read.secret(), "");
  EXPECT_EQ(read.etag(), endpoint.etag());

  v1::UpdateWebhookEndpointRequest update;
  *update.mutable_webhook_endpoint() = read;
  update.mutable_webhook_endpoint()->set_disabled(true);
  update.mutable_update_mask()->add_paths("disabled");
  ASSERT_OK_AND_ASSIGN(
      v1::WebhookEndpoint updated,
      rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::UpdateWebhookEndpoint, update));
  EXPECT_TRUE(updated.disabled());
  EXPECT_NE(updated.etag(), read.etag());
  EXPECT_THAT(rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::UpdateWebhookEndpoint, update),
              HasReasonThat("ETAG_MISMATCH"));
  update.mutable_webhook_endpoint()->clear_etag();
  update.mutable_update_mask()->add_paths("secret");
  EXPECT_THAT(rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::UpdateWebhookEndpoint, update),
              HasReasonThat("UPDATE_MASK_INVALID"));

  v1::DeleteWebhookEndpointRequest del;
  del.set_name(endpoint.name());
  EXPECT_OK(rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::DeleteWebhookEndpoint, del));
  EXPECT_THAT(rpc::Invoke(*webhooks_, &v1::WebhookService::Stub::GetWebhookEndpoint, get),
              HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(AddEndpoint("example.com"), HasReasonThat("FIELD_INVALID"));
}

TEST_F(GuardedWebhookModuleTest, NothingIsPostedIntoInnerNetworksUnlessAllowed) {
  Receiver receiver;
  ASSERT_OK(AddEndpoint(receiver.url()));
  EndAJob();
  const std::vector<v1::WebhookDelivery> deliveries = Tried();
  ASSERT_THAT(deliveries, SizeIs(1));
  EXPECT_EQ(deliveries[0].response_status(), 0);
  EXPECT_THAT(deliveries[0].response(), HasSubstr("no address that may be connected to"));
  EXPECT_THAT(receiver.Wait(0), SizeIs(0));
}

}  // namespace
}  // namespace crossover::scheduler
