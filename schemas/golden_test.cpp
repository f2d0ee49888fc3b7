// Proves that events of every released version stay readable: schemas/golden/vN/FAMILY.bin verifies today and prints as
// FAMILY.json says. If this fails, today's schema broke what is in people's logs: change the schema, not the samples.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "schemas/registry.hpp"

namespace millrace::schemas {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(Golden, samples_of_every_released_version_verify_and_print_as_they_did) {
  const Registry registry = Registry::built_in();
  int samples = 0;
  for (const auto& version : std::filesystem::directory_iterator(MILLRACE_SCHEMAS_GOLDEN)) {
    for (const EventType* type : registry.all()) {
      const auto stem = version.path() / type->name();
      const std::string bytes = read(stem.string() + ".bin");
      std::vector<std::byte> payload(bytes.size());
      std::memcpy(payload.data(), bytes.data(), bytes.size());
      std::string json = read(stem.string() + ".json");
      while (!json.empty() && json.back() == '\n') json.pop_back();
      EXPECT_EQ(type->to_json(payload).value(), json) << stem;
      ++samples;
    }
  }
  EXPECT_GE(samples, 7);
}

// Holds for the newest version only: an older one's bytes lack the slots of later fields.
TEST(Golden, samples_of_the_newest_version_are_what_from_json_makes_today) {
  const Registry registry = Registry::built_in();
  const std::filesystem::path newest = std::filesystem::path(MILLRACE_SCHEMAS_GOLDEN) / "v1";
  for (const EventType* type : registry.all()) {
    const std::string name(type->name());
    const auto made = type->from_json(read(newest / (name + ".json"))).value();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(made.data()), made.size()), read(newest / (name + ".bin")));
  }
}

}  // namespace
}  // namespace millrace::schemas
