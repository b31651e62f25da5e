# A thread that computes the sha256 of the weights, tells how far it is, and remembers the result.
.class public Lapp/edgelm/Digest;
.super Ljava/lang/Object;
.implements Ljava/lang/Runnable;
.source "Digest.smali"

.field private final file:Ljava/io/File;
.field private final lines:Ljava/util/Queue;
.field private final memory:Landroid/content/SharedPreferences;

# memory: keeps the digest under the file's size and time of change, so that the same file is read once.
.method public constructor <init>(Ljava/io/File;Ljava/util/Queue;Landroid/content/SharedPreferences;)V
    .locals 0
    invoke-direct {p0}, Ljava/lang/Object;-><init>()V
    iput-object p1, p0, Lapp/edgelm/Digest;->file:Ljava/io/File;
    iput-object p2, p0, Lapp/edgelm/Digest;->lines:Ljava/util/Queue;
    iput-object p3, p0, Lapp/edgelm/Digest;->memory:Landroid/content/SharedPreferences;
    return-void
.end method

.method public run()V
    .locals 5

    :try_start
    iget-object v0, p0, Lapp/edgelm/Digest;->file:Ljava/io/File;
    invoke-virtual {v0}, Ljava/io/File;->length()J
    move-result-wide v1
    invoke-static {v1, v2}, Ljava/lang/Long;->toString(J)Ljava/lang/String;
    move-result-object v1
    const-string v2, "-"
    invoke-virtual {v1, v2}, Ljava/lang/String;->concat(Ljava/lang/String;)Ljava/lang/String;
    move-result-object v1
    invoke-virtual {v0}, Ljava/io/File;->lastModified()J
    move-result-wide v2
    invoke-static {v2, v3}, Ljava/lang/Long;->toString(J)Ljava/lang/String;
    move-result-object v2
    invoke-virtual {v1, v2}, Ljava/lang/String;->concat(Ljava/lang/String;)Ljava/lang/String;
    move-result-object v1

    # v1: size and time of change; v2: the digest
    iget-object v0, p0, Lapp/edgelm/Digest;->memory:Landroid/content/SharedPreferences;
    const/4 v2, 0x0
    invoke-interface {v0, v1, v2}, Landroid/content/SharedPreferences;->getString(Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String;
    move-result-object v2
    if-nez v2, :known

    invoke-direct {p0}, Lapp/edgelm/Digest;->compute()Ljava/lang/String;
    move-result-object v2
    invoke-interface {v0}, Landroid/content/SharedPreferences;->edit()Landroid/content/SharedPreferences$Editor;
    move-result-object v0
    invoke-interface {v0}, Landroid/content/SharedPreferences$Editor;->clear()Landroid/content/SharedPreferences$Editor;
    invoke-interface {v0, v1, v2}, Landroid/content/SharedPreferences$Editor;->putString(Ljava/lang/String;Ljava/lang/String;)Landroid/content/SharedPreferences$Editor;
    invoke-interface {v0}, Landroid/content/SharedPreferences$Editor;->apply()V

    :known
    new-instance v0, Lorg/json/JSONObject;
    invoke-direct {v0}, Lorg/json/JSONObject;-><init>()V
    const-string v1, "sha256"
    invoke-virtual {v0, v1, v2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    invoke-direct {p0, v0}, Lapp/edgelm/Digest;->tell(Lorg/json/JSONObject;)V
    :try_end
    .catch Ljava/lang/Exception; {:try_start .. :try_end} :failed
    return-void

    :failed
    move-exception v1
    :say_start
    new-instance v0, Lorg/json/JSONObject;
    invoke-direct {v0}, Lorg/json/JSONObject;-><init>()V
    const-string v2, "error"
    invoke-virtual {v1}, Ljava/lang/Exception;->toString()Ljava/lang/String;
    move-result-object v1
    invoke-virtual {v0, v2, v1}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    invoke-direct {p0, v0}, Lapp/edgelm/Digest;->tell(Lorg/json/JSONObject;)V
    :say_end
    .catch Lorg/json/JSONException; {:say_start .. :say_end} :nobody
    return-void

    :nobody
    move-exception v0
    return-void
.end method

.method private tell(Lorg/json/JSONObject;)V
    .locals 2
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation
    iget-object v0, p0, Lapp/edgelm/Digest;->lines:Ljava/util/Queue;
    const-string v1, "checked"
    invoke-static {v0, v1, p1}, Lapp/edgelm/Files;->tell(Ljava/util/Queue;Ljava/lang/String;Lorg/json/JSONObject;)V
    return-void
.end method

# The file's sha256 in hexadecimal, a megabyte at a time; progress is told after every 64 of them.
.method private compute()Ljava/lang/String;
    .locals 12
    .annotation system Ldalvik/annotation/Throws;
        value = { Ljava/lang/Exception; }
    .end annotation

    const-string v0, "SHA-256"
    invoke-static {v0}, Ljava/security/MessageDigest;->getInstance(Ljava/lang/String;)Ljava/security/MessageDigest;
    move-result-object v0
    new-instance v1, Ljava/io/FileInputStream;
    iget-object v2, p0, Lapp/edgelm/Digest;->file:Ljava/io/File;
    invoke-direct {v1, v2}, Ljava/io/FileInputStream;-><init>(Ljava/io/File;)V
    const/high16 v2, 0x100000
    new-array v2, v2, [B

    # v4 and v5: bytes read; v6 and v7: bytes read when progress is told next
    const-wide/16 v4, 0x0
    const-wide/32 v6, 0x4000000

    :try_start
    :next
    invoke-virtual {v1, v2}, Ljava/io/FileInputStream;->read([B)I
    move-result v3
    if-lez v3, :end
    const/4 v8, 0x0
    invoke-virtual {v0, v2, v8, v3}, Ljava/security/MessageDigest;->update([BII)V
    int-to-long v8, v3
    add-long/2addr v4, v8
    cmp-long v8, v4, v6
    if-ltz v8, :next

    const-wide/32 v8, 0x4000000
    add-long/2addr v6, v8
    new-instance v8, Lorg/json/JSONObject;
    invoke-direct {v8}, Lorg/json/JSONObject;-><init>()V
    const-string v9, "done"
    invoke-virtual {v8, v9, v4, v5}, Lorg/json/JSONObject;->put(Ljava/lang/String;J)Lorg/json/JSONObject;
    iget-object v9, p0, Lapp/edgelm/Digest;->lines:Ljava/util/Queue;
    const-string v10, "checking"
    invoke-static {v9, v10, v8}, Lapp/edgelm/Files;->tell(Ljava/util/Queue;Ljava/lang/String;Lorg/json/JSONObject;)V
    goto :next
    :try_end
    .catchall {:try_start .. :try_end} :close

    :end
    invoke-virtual {v1}, Ljava/io/FileInputStream;->close()V
    invoke-virtual {v0}, Ljava/security/MessageDigest;->digest()[B
    move-result-object v0
    invoke-static {v0}, Lapp/edgelm/Files;->hex([B)Ljava/lang/String;
    move-result-object v0
    return-object v0

    :close
    move-exception v11
    invoke-virtual {v1}, Ljava/io/FileInputStream;->close()V
    throw v11
.end method
