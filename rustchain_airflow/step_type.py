"""The step types of the specification, by name and by family."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """A family of step types; each has one package of step modules and one Airflow operator."""

    FILE = "file"
    DATA = "data"
    CODE = "code"
    GIT = "git"
    SYSTEM = "system"
    DATABASE = "database"
    NETWORK = "network"
    ML = "ml"
    CONTROL = "control"
    AI = "ai"


class StepType(StrEnum):
    """What a step does (specification §3); ``family`` says where its module lives."""

    family: Family

    def __new__(cls, value: str, family: Family = Family.CONTROL) -> StepType:
        member = str.__new__(cls, value)
        member._value_ = value
        member.family = family
        return member

    CREATE_FILE = "create_file", Family.FILE
    EDIT_FILE = "edit_file", Family.FILE
    DELETE_FILE = "delete_file", Family.FILE
    COPY_FILE = "copy_file", Family.FILE
    MOVE_FILE = "move_file", Family.FILE
    READ_FILE = "read_file", Family.FILE
    LIST_DIRECTORY = "list_directory", Family.FILE
    FILE_SEARCH = "file_search", Family.FILE

    PARSE_JSON = "parse_json", Family.DATA
    PARSE_YAML = "parse_yaml", Family.DATA
    PARSE_XML = "parse_xml", Family.DATA
    VALIDATE_SCHEMA = "validate_schema", Family.DATA
    CSV_PROCESS = "csv_process", Family.DATA

    COMPILE_CODE = "compile_code", Family.CODE
    RUN_TESTS = "run_tests", Family.CODE
    FORMAT_CODE = "format_code", Family.CODE
    LINT_CODE = "lint_code", Family.CODE
    EXTRACT_FUNCTIONS = "extract_functions", Family.CODE
    GENERATE_DOCS = "generate_docs", Family.CODE

    GIT_COMMIT = "git_commit", Family.GIT
    GIT_BRANCH = "git_branch", Family.GIT
    GIT_MERGE = "git_merge", Family.GIT
    GIT_STATUS = "git_status", Family.GIT
    GIT_DIFF = "git_diff", Family.GIT

    PROCESS_START = "process_start", Family.SYSTEM
    PROCESS_KILL = "process_kill", Family.SYSTEM
    MONITOR_RESOURCES = "monitor_resources", Family.SYSTEM
    SERVICE_HEALTH = "service_health", Family.SYSTEM
    COMPRESS = "compress", Family.SYSTEM

    SQL_QUERY = "sql_query", Family.DATABASE
    REDIS_SET = "redis_set", Family.DATABASE
    REDIS_GET = "redis_get", Family.DATABASE
    DB_BACKUP = "db_backup", Family.DATABASE
    DB_MIGRATE = "db_migrate", Family.DATABASE

    WEBSOCKET_CONNECT = "websocket_connect", Family.NETWORK
    FTP_UPLOAD = "ftp_upload", Family.NETWORK
    FTP_DOWNLOAD = "ftp_download", Family.NETWORK
    SSH_EXECUTE = "ssh_execute", Family.NETWORK
    PING_HOST = "ping_host", Family.NETWORK

    GENERATE_EMBEDDING = "generate_embedding", Family.ML
    SIMILARITY_SEARCH = "similarity_search", Family.ML
    MODEL_INFERENCE = "model_inference", Family.ML

    NOOP = "noop", Family.CONTROL
    COMMAND = "command", Family.CONTROL
    HTTP = "http", Family.CONTROL

    LLM = "llm", Family.AI
    TOOL = "tool", Family.AI
    AGENT = "agent", Family.AI
    CHAIN = "chain", Family.AI
    RAG_QUERY = "rag_query", Family.AI
    RAG_ADD = "rag_add", Family.AI
