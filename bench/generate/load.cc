#include "bench/generate/load.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <latch>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/http/client.h"
#include "common/http/sse.h"
#include "common/status/absl_view.h"

namespace crossover::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Answer {
  absl::Status status;
  double first_token = 0;
  int64_t tokens = 0;
};

// Only the last events are parsed, so that measuring costs the servers little of the machine.
Answer Ask(http::Client& client, const std::string& url, const std::string& body) {
  Answer answer;
  const Clock::time_point start = Clock::now();
  http::SseParser parser;
  std::string last, before;
  int status = 0;
  answer.status = client.Stream(
      {.method = "POST",
       .url = url,
       .headers = {{"content-type", "application/json"}},
       .body = body,
       .timeout = absl::Minutes(20)},
      [&](const http::ClientResponse& head) {
        status = head.status;
        return true;
      },
      [&](std::string_view piece) {
        if (status != 200) {
          last += piece;
          return true;
        }
        for (http::SseEvent& event : parser.Feed(piece)) {
          if (answer.first_token == 0)
            answer.first_token = std::chrono::duration<double>(Clock::now() - start).count();
          before = std::move(last);
          last = std::move(event.data);
        }
        return true;
      });
  if (!answer.status.ok()) return answer;
  const nlohmann::json usage =
      nlohmann::json::parse(last == "[DONE]" ? before : last, nullptr, false);
  if (status != 200 || !usage.is_object() || !usage.contains("usage") ||
      !usage["usage"].is_object()) {
    answer.status =
        absl::InternalError(absl::StrCat(ToAbsl(url), " answered ", status, ": ", last));
    return answer;
  }
  answer.tokens = usage["usage"]["completion_tokens"].get<int64_t>();
  return answer;
}

}  // namespace

absl::StatusOr<LoadResult> RunLoad(const std::string& url, const std::vector<std::string>& bodies) {
  http::Client client({.max_idle_per_host = static_cast<int>(bodies.size())});
  std::vector<Answer> answers(bodies.size());
  std::vector<std::thread> threads;
  std::latch ready(static_cast<std::ptrdiff_t>(bodies.size()) + 1);
  for (size_t i = 0; i < bodies.size(); ++i) {
    threads.emplace_back([&, i] {
      ready.arrive_and_wait();
      answers[i] = Ask(client, url, bodies[i]);
    });
  }
  ready.arrive_and_wait();
  const Clock::time_point start = Clock::now();
  for (std::thread& thread : threads) thread.join();
  LoadResult result;
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (const Answer& answer : answers) {
    if (!answer.status.ok()) return answer.status;
    result.tokens += answer.tokens;
    result.first_token.push_back(answer.first_token);
  }
  return result;
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = std::ceil(q * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(1.0, place)) - 1];
}

}  // namespace crossover::bench
