#include "services/training_scheduler/domain/webhook_deliverer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <nlohmann/json.hpp>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/fake_webhook_store.h"
#include "services/training_scheduler/domain/webhook_address.h"
#include "services/training_scheduler/domain/webhook_signature.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Answers what it is told, 200 by default, and keeps what it was sent.
class FakeSender final : public WebhookSender {
 public:
  struct Sent {
    std::string url;
    std::map<std::string, std::string> headers;
    std::string body;
  };

  absl::StatusOr<WebhookResponse> Post(const std::string& url,
                                       const std::map<std::string, std::string>& headers,
                                       const std::string& body, absl::Duration) override {
    sent.push_back({url, headers, body});
    if (answers.empty()) return WebhookResponse{.status = 200, .body = "", .retry_after = {}};
    absl::StatusOr<WebhookResponse> answer = answers.front();
    answers.pop_front();
    return answer;
  }

  std::vector<Sent> sent;
  std::deque<absl::StatusOr<WebhookResponse>> answers;
};

class WebhookDelivererTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WebhookEndpoint endpoint;
    endpoint.id = ids_.NextId();
    endpoint.project = "default";
    endpoint.url = "https://example.com/hook";
    endpoint.secret = NewWebhookSecret(random_);
    ASSERT_OK_AND_ASSIGN(endpoint_, webhooks_.CreateEndpoint(endpoint, {}));
  }

  // A job that is cancelled at once.
  JobId EndAJob() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    EXPECT_OK(jobs_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
      return Accept(mine, {}, Dependencies::kMet, now, effects);
    }));
    EXPECT_OK(jobs_.Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
      return Cancel(mine, now, effects);
    }));
    return job.id;
  }

  void Answer(int status, absl::Duration retry_after = {}) {
    sender_.answers.push_back(
        WebhookResponse{.status = status, .body = "said so", .retry_after = retry_after});
  }

  WebhookDelivery Only() { return webhooks_.ListDeliveries({.project = "default"})->at(0); }

  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  FakeModelStore models_{clock_};
  FakeWebhookStore webhooks_{clock_};
  FakeJobStore jobs_{clock_, models_, &webhooks_};
  FakeSender sender_;
  metrics::Registry registry_{"scheduler"};
  SchedulerMetrics metrics_{registry_};
  WebhookDeliverer deliverer_{webhooks_, sender_, clock_, random_, metrics_};
  WebhookEndpoint endpoint_;
};

TEST_F(WebhookDelivererTest, AnEndIsPostedOnceWithTheJobsIdAndASignature) {
  const JobId job = EndAJob();
  EXPECT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true));
  EXPECT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(false));
  ASSERT_THAT(sender_.sent, SizeIs(1));
  const FakeSender::Sent& sent = sender_.sent[0];
  EXPECT_EQ(sent.url, "https://example.com/hook");
  const nlohmann::json body = nlohmann::json::parse(sent.body);
  EXPECT_EQ(body["type"], "fine_tuning.job.cancelled");
  EXPECT_EQ(body["object"], "event");
  EXPECT_EQ(body["data"], nlohmann::json({{"id", "ftjob-" + job}}));
  EXPECT_EQ(body["created_at"], absl::ToUnixSeconds(clock_.Now()));
  EXPECT_EQ(sent.headers.at("webhook-id"), Only().id);
  EXPECT_THAT(WebhookSignature(endpoint_.secret, Only().id,
                               std::stoll(sent.headers.at("webhook-timestamp")), sent.body),
              IsOkAndHolds(sent.headers.at("webhook-signature")));
  EXPECT_EQ(Only().state, DeliveryState::kDelivered);
  EXPECT_EQ(Only().attempts, 1);
  EXPECT_EQ(Only().response_status, 200);
  EXPECT_THAT(registry_.Expose(),
              HasSubstr("crossover_scheduler_webhook_attempts_total{outcome=\"delivered\"} 1"));
}

// The example of the specification's text, computed by its libraries.
TEST_F(WebhookDelivererTest, SignsAsTheSpecificationDoes) {
  EXPECT_THAT(
      WebhookSignature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                       1614265330, R"({"test": 2432232314})"),
      IsOkAndHolds(std::string("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")));
  EXPECT_THAT(WebhookSignature("plain text", "id", 1, ""), HasReasonThat("INTERNAL_ERROR"));
}

TEST_F(WebhookDelivererTest, RetriesOnTheSpecificationsScheduleWithTheSameIdAndBytesThenGivesUp) {
  EndAJob();
  for (int i = 0; i < 10; ++i) Answer(500);
  absl::Duration waited;
  for (int attempt = 1; attempt <= 10; ++attempt) {
    ASSERT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true)) << attempt;
    if (attempt == 10) break;
    const absl::Duration planned = *WebhookPause(attempt);
    const absl::Duration pause = *Only().next_time - clock_.Now();
    EXPECT_GE(pause, planned);
    EXPECT_LE(pause, planned * 1.1);
    clock_.Advance(pause - absl::Milliseconds(1));
    EXPECT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(false)) << attempt;
    clock_.Advance(absl::Milliseconds(1));
    waited += pause;
  }
  EXPECT_EQ(Only().state, DeliveryState::kExhausted);
  EXPECT_EQ(Only().attempts, 10);
  EXPECT_EQ(Only().response, "said so");
  EXPECT_FALSE(Only().next_time.has_value());
  EXPECT_GT(waited, absl::Hours(75));
  for (const FakeSender::Sent& sent : sender_.sent) {
    EXPECT_EQ(sent.headers.at("webhook-id"), Only().id);
    EXPECT_EQ(sent.body, sender_.sent[0].body);
  }
  EXPECT_NE(sender_.sent[9].headers.at("webhook-signature"),
            sender_.sent[0].headers.at("webhook-signature"));  // the time is signed too
}

TEST_F(WebhookDelivererTest, ARetryAfterIsHonouredWithinADay) {
  EndAJob();
  Answer(429, absl::Hours(3));
  Answer(503, absl::Hours(1000));
  ASSERT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true));
  EXPECT_EQ(*Only().next_time, clock_.Now() + absl::Hours(3));
  clock_.Advance(absl::Hours(3));
  ASSERT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true));
  EXPECT_EQ(*Only().next_time, clock_.Now() + absl::Hours(24));
}

TEST_F(WebhookDelivererTest, ARedirectIsAFailureAndGoneEndsTheEndpoint) {
  EndAJob();
  Answer(302);
  Answer(410);
  ASSERT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true));
  EXPECT_EQ(Only().state, DeliveryState::kPending);
  clock_.Advance(absl::Seconds(6));
  ASSERT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true));
  EXPECT_EQ(Only().state, DeliveryState::kExhausted);
  EXPECT_TRUE(webhooks_.GetEndpoint("default", endpoint_.id)->disabled);
}

TEST_F(WebhookDelivererTest, WithoutAnAnswerTheNetworksErrorIsKept) {
  EndAJob();
  sender_.answers.push_back(absl::UnavailableError("cannot connect to https://example.com:443"));
  ASSERT_THAT(deliverer_.DeliverOne(), IsOkAndHolds(true));
  EXPECT_EQ(Only().state, DeliveryState::kPending);
  EXPECT_EQ(Only().response_status, 0);
  EXPECT_THAT(Only().response, HasSubstr("cannot connect"));
}

TEST(WebhookTest, WrongEndpointsAreNamedFieldByField) {
  WebhookEndpoint endpoint;
  endpoint.url = "https://example.com/hook";
  EXPECT_OK(CheckEndpoint(endpoint));
  for (const char* url :
       {"", "example.com", "ftp://example.com", "https://me:secret@example.com"}) {
    endpoint.url = url;
    EXPECT_THAT(CheckEndpoint(endpoint).ToString(), HasSubstr("webhook_endpoint.url")) << url;
  }
  endpoint.url = "http://10.0.0.7:8000/hook";
  endpoint.event_types = {"fine_tuning.job.failed", "job.failed"};
  EXPECT_THAT(CheckEndpoint(endpoint).ToString(), HasSubstr("event_types[1] is 'job.failed'"));
}

TEST(WebhookTest, ExportsTellNobody) {
  Job job;
  job.state = JobState::kSucceeded;
  EXPECT_EQ(WebhookEventOf(job), "fine_tuning.job.succeeded");
  job.kind = JobKind::kExport;
  EXPECT_EQ(WebhookEventOf(job), std::nullopt);
  job.kind = JobKind::kSft;
  job.state = JobState::kPaused;
  EXPECT_EQ(WebhookEventOf(job), std::nullopt);
}

TEST(WebhookAddressTest, InnerNetworksAreReachedOnlyWhenAllowedAndSomeNever) {
  for (const char* address : {"93.184.216.34", "172.32.0.1", "2606:2800:220:1::1"}) {
    EXPECT_TRUE(MayPostTo(address, false)) << address;
  }
  for (const char* address : {"127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.1.1",
                              "100.64.0.1", "::1", "fd00::1", "::ffff:127.0.0.1"}) {
    EXPECT_FALSE(MayPostTo(address, false)) << address;
    EXPECT_TRUE(MayPostTo(address, true)) << address;
  }
  for (const char* address : {"0.0.0.0", "169.254.169.254", "::ffff:169.254.169.254", "224.0.0.1",
                              "255.255.255.255", "::", "fe80::1", "fe80::1%eth0", "ff02::1",
                              "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "nonsense"}) {
    EXPECT_FALSE(MayPostTo(address, true)) << address;
  }
}

}  // namespace
}  // namespace crossover::scheduler
