#include "common/testing/pg_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <pqxx/pqxx>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/fake_logger.h"
#include "common/process/spawn.h"
#include "common/status/absl_view.h"
#include "common/testing/temp_dir.h"

namespace crossover::testing {
namespace {

constexpr char kBin[] = "/usr/lib/postgresql/15/bin/";

[[noreturn]] void DieOfPostgres(const std::string& what) {
  std::fprintf(stderr, "Postgres for tests: %s\n", what.c_str());
  std::abort();
}

// The one private server of this test process.
class PgServer {
 public:
  static PgServer& Shared() {
    static PgServer server;
    return server;
  }

  std::string Dsn(const std::string& database) const {
    return absl::StrCat("host=", dir_.path().string(), " user=postgres dbname=", database);
  }

  // A template database with these migrations; made at the first use.
  std::string TemplateFor(const std::vector<pg::SchemaMigrations>& schemas) {
    if (schemas.empty()) return "template0";
    std::string key;
    for (const auto& schema : schemas)
      absl::StrAppend(&key, ToAbsl(schema.schema), "@", schema.migrations.size(), ",");
    std::lock_guard lock(mutex_);
    auto [it, inserted] = templates_.try_emplace(key, absl::StrCat("template_", templates_.size()));
    if (inserted) {
      Execute(absl::StrCat("CREATE DATABASE ", it->second, " TEMPLATE template0"));
      for (const auto& schema : schemas) {
        const auto applied = pg::Migrate(Dsn(it->second), schema, logger_);
        if (!applied.ok()) DieOfPostgres(applied.status().ToString());
      }
    }
    return it->second;
  }

  void Execute(const std::string& sql) {
    pqxx::connection connection(Dsn("postgres"));
    pqxx::nontransaction(connection).exec(sql);
  }

 private:
  PgServer() {
    if (!std::filesystem::exists(absl::StrCat(kBin, "postgres"))) {
      DieOfPostgres(absl::StrCat(
          kBin, "postgres is missing; run ./dev setup (or apt-get install postgresql-15)"));
    }
    if (::getuid() == 0) {
      user_ = "postgres";
      const auto ids = FindUser(user_);
      if (!ids.ok())
        DieOfPostgres("running as root needs a user postgres: " + ids.status().ToString());
      if (::chown(dir_.path().c_str(), ids->uid, ids->gid) != 0)
        DieOfPostgres("cannot chown " + dir_.path().string());
    }
    Initialise();
    Start();
  }

  ~PgServer() {
    ::kill(pid_, SIGQUIT);  // at once: nothing here is to be kept
    ::waitpid(pid_, nullptr, 0);
  }

  void Initialise() {
    const auto status =
        RunToEnd({.argv = {absl::StrCat(kBin, "initdb"), "-D", data(), "-U", "postgres", "-A",
                           "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"},
                  .user = user_,
                  .output = log()});
    if (!status.ok()) DieOfPostgres(status.status().ToString());
    if (*status != 0) DieOfPostgres("initdb " + DescribeExit(*status) + ":\n" + ReadFile(log()));
  }

  void Start() {
    std::vector<std::string> argv = {absl::StrCat(kBin, "postgres"), "-D", data(), "-k",
                                     dir_.path().string()};
    for (const char* setting :
         {"listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off",
          "max_connections=100", "shared_buffers=16MB", "autovacuum=off", "lc_messages=C"}) {
      argv.insert(argv.end(), {"-c", setting});
    }
    const auto pid = Spawn(
        {.argv = std::move(argv), .user = user_, .parent_death_signal = SIGQUIT, .output = log()});
    if (!pid.ok()) DieOfPostgres(pid.status().ToString());
    pid_ = *pid;
    for (int i = 0; i < 3000; ++i) {
      try {
        pqxx::connection probe(Dsn("postgres"));
        return;
      } catch (const std::exception&) {
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_)
          DieOfPostgres("the server ended:\n" + ReadFile(log()));
        SystemClock().SleepFor(absl::Milliseconds(10));
      }
    }
    DieOfPostgres("the server did not start within 30 s:\n" + ReadFile(log()));
  }

  std::string data() const { return dir_ / "data"; }
  std::string log() const { return dir_ / "log"; }

  TempDir dir_;
  std::string user_;
  pid_t pid_ = -1;
  FakeLogger logger_;
  std::mutex mutex_;
  std::map<std::string, std::string> templates_;
};

std::string NextName() {
  static std::atomic<int> next = 0;
  return absl::StrCat("test_", next++);
}

}  // namespace

PgDatabase::PgDatabase(std::vector<pg::SchemaMigrations> schemas) : name_(NextName()) {
  PgServer& server = PgServer::Shared();
  server.Execute(
      absl::StrCat("CREATE DATABASE ", name_, " TEMPLATE ", server.TemplateFor(schemas)));
  dsn_ = server.Dsn(name_);
}

PgDatabase::~PgDatabase() {
  try {
    PgServer::Shared().Execute(absl::StrCat("DROP DATABASE IF EXISTS ", name_, " WITH (FORCE)"));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cannot drop %s: %s\n", name_.c_str(), e.what());
  }
}

std::unique_ptr<pg::Pool> PgDatabase::NewPool(std::string_view schema, int max_connections,
                                              Clock& clock) {
  auto pool = pg::Pool::Create(
      {.dsn = dsn_, .schema = std::string(schema), .max_connections = max_connections}, clock);
  if (!pool.ok()) DieOfPostgres(pool.status().ToString());
  return *std::move(pool);
}

void PgDatabase::Execute(const std::string& sql) {
  pqxx::connection connection(dsn_);
  pqxx::nontransaction(connection).exec(sql);
}

std::string PgDatabase::Query(const std::string& sql) {
  pqxx::connection connection(dsn_);
  const pqxx::result rows = pqxx::nontransaction(connection).exec(sql);
  return rows.empty() || rows[0][0].is_null() ? "" : rows[0][0].as<std::string>();
}

}  // namespace crossover::testing
